"""Several processes on one file: one writer a slot, nothing acknowledged lost, one journal made."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from broker.journal.sqlite import SqliteJournal
from broker.record import CHAIN_START, Entry
from tests.support.journal_racer import WRITES_PER_ROUND_MAX
from tests.support.journal_writes import RoomWriter, verified_chain

ROOT = Path(__file__).parents[3]


def start_racer(path: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.journal_racer", str(path), name, str(rounds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def whole_log(path: Path) -> list[Entry]:
    """Everything the room has, after its chain was verified."""
    with closing(SqliteJournal(path, new_store_id="unused")) as journal:
        room = journal.load(RoomWriter().room, 0, 0, 0, 0)
        assert room is not None
        entries = list(journal.read(RoomWriter().room, room.head.epoch, 0, 100_000))
        assert [entry.offset for entry in entries] == list(range(1, room.head.offset + 1))
        assert verified_chain(entries, room.head.epoch, CHAIN_START) == room.head.chain
        return entries


def test_of_processes_that_race_for_a_slot_exactly_one_writes_at_a_time(tmp_path: Path) -> None:
    path, rounds = tmp_path / "journal.sqlite", 15
    racers = [start_racer(path, name, rounds) for name in ("anna", "bert", "cleo")]
    acknowledged = [line for racer in racers for line in racer.communicate(timeout=60)[0].split()]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sorted(acknowledged) == sorted(entry.body.decode() for entry in whole_log(path))
    assert len(acknowledged) <= 3 * rounds * WRITES_PER_ROUND_MAX


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    racer = start_racer(path, "anna", 10_000)
    assert racer.stdout is not None
    acknowledged = [racer.stdout.readline().strip() for _ in range(50)]
    racer.kill()
    acknowledged += racer.communicate(timeout=60)[0].split()
    kept = [entry.body.decode() for entry in whole_log(path)]
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) in (0, 1), "at most the write that was under way"


def test_of_openings_at_the_same_time_one_makes_the_journal_and_all_have_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with ThreadPoolExecutor(8) as pool:
        journals = list(pool.map(lambda n: SqliteJournal(path, new_store_id=f"store-{n}"), range(8)))
    assert len({journal.store_id for journal in journals}) == 1
    for journal in journals:
        journal.close()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
