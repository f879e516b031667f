"""What the auditors of one process have read, put together: at one place all readers have the same event.  Pure.

Here the events at one place are compared, whoever of the process read them, and each place of a message of
the run is told to the master once (`loadtest/audits/ledger.py` compares the processes).
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from loadtest.audits.places import Places
from loadtest.audits.stamp import id_prefix
from loadtest.figures.messages import Finding, Placed
from loadtest.figures.tally import Tally
from wire.client_messages import Event

# The newest places are compared, which is what readers who come back or lag see of each other: a minute of 1,000
# messages a second.  290 bytes each (`tracemalloc`), so 17 MB.
PLACES_KEPT_MAX: Final = 60_000


class _Seen(NamedTuple):
    content: int
    """A hash of everything in the event; 0 when its text was gone."""
    client: str


class Sightings:
    """Invariant: at most PLACES_KEPT_MAX places are kept."""

    def __init__(self, run: str, tally: Tally) -> None:
        self._prefix = id_prefix(run)
        self._tally = tally
        self._places = Places()
        self._seen: OrderedDict[tuple[str, str, int], _Seen] = OrderedDict()

    def see(self, event: Event, epoch: str, client: str) -> None:
        """Compare one event with what was seen of its place."""
        # Epochs are compared apart: after one has ended the same offset is another place.
        place = (event.room, epoch, event.offset)
        content = 0 if event.removed else hash((event.kind, event.by, event.name, event.id, event.text, event.target, event.at))
        before = self._seen.get(place)
        if before is None:
            self._keep(place, _Seen(content, client))
            if event.removed or event.id.startswith(self._prefix):
                self._places.add(event.room, epoch, event.offset, event.id)
        elif before.content != content and before.content and content:
            detail = f"the event differs from what {before.client} was sent for the same offset"
            self._tally.found(Finding("altered", event.room, event.offset, 1, client, detail))
        elif not content:
            self._seen[place] = _Seen(0, client)

    def watched(self, room: str, epoch: str, first: int, last: int) -> None:
        """An auditor was there for all these offsets."""
        self._places.watched(room, epoch, first, last)

    def take(self) -> list[Placed]:
        """What the master is to be told since the last call."""
        return self._places.take()

    def _keep(self, place: tuple[str, str, int], seen: _Seen) -> None:
        self._seen[place] = seen
        if len(self._seen) > PLACES_KEPT_MAX:
            self._seen.popitem(last=False)
