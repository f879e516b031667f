"""One of several processes that write to one journal file, for tests of fencing between processes.

``python -m tests.support.journal_racer PATH NAME ROUNDS``: claims the slot, loads the room,
writes until it is fenced, and again, ROUNDS times.  Prints the text of each message once it is
committed, a line each, so that a reader knows what was acknowledged before a kill.
"""

import sys
from pathlib import Path

from broker.journal.protocol import CommitVerdict
from broker.journal.sqlite import SqliteJournal
from tests.support.journal_writes import RoomWriter
from wire.names import Slot

WRITES_PER_ROUND_MAX = 20


def main(path: str, name: str, rounds: int) -> None:
    journal = SqliteJournal(Path(path), new_store_id=f"store-{name}")
    for round_number in range(rounds):
        # A seed for each round, so that no message id is used twice.
        writer = RoomWriter(seed=f"{name}.{round_number}")
        writer.term = journal.claim([Slot(7)], 1, name)[Slot(7)]
        room = journal.load(writer.room, 0, 0, 0, 0)
        if room is not None:
            writer.head = room.head
        for write_number in range(WRITES_PER_ROUND_MAX):
            text = f"{name}.{round_number}.{write_number}"
            verdict = writer.commit(journal, text).verdict
            if verdict is not CommitVerdict.COMMITTED:
                assert verdict is CommitVerdict.FENCED, f"a fenced writer is told so first, not {verdict}"
                break
            print(text, flush=True)
    journal.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
