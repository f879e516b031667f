"""Which slots this shard speaks for, while the map that says so changes.

Three kinds of slots: *owned* ones have a term; *coming* ones are given to this shard by the
map it follows and are being claimed; all others are somebody else's.  Questions about a slot
whose owner is about to be known wait for it (HELD_TICKS_MAX at most) instead of being sent
away, for an owner that changes is a pause of a claim and a load, not of a detour.

A shard that was cut off may miss a map: one that gave its slots to others, who claimed them,
and the next one gives them back.  Their terms are worth nothing then, and what is in memory
is old.  So what is kept over a map that was missed is claimed again, and the term tells:
the next one after ours means that nobody was there meanwhile.  Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from broker.feeds import Feeds
from broker.hosted import Hosted, Phase
from broker.publishing import Publishing
from broker.shard_state import ShardState
from wire.limits import SIGNALS_PER_S_MAX
from wire.names import RoomName, Slot, Term

# Two seconds of ticks: longer than a map takes to arrive and a claim to be answered; who has waited
# so long is sent away, and asks again by itself.
HELD_TICKS_MAX: Final = int(2 * SIGNALS_PER_S_MAX)


class Ownership:
    """The changing part of `ShardState.terms`; see the module."""

    __slots__ = ("_feeds", "_publishing", "_state", "_ticks_held", "_unsure")

    def __init__(self, state: ShardState, feeds: Feeds, publishing: Publishing) -> None:
        self._state = state
        self._feeds = feeds
        self._publishing = publishing
        self._ticks_held: dict[RoomName, int] = {}
        self._unsure: set[Slot] = set()
        """Owned slots that a map which was missed may have given away: their terms are to be tried by a claim."""

    def heard_of(self, version: int) -> None:
        """Somebody follows this map: what is asked about other shards' slots may be about ours, as soon as we have it."""
        self._state.newest_heard = max(self._state.newest_heard, version)

    def follow(self, mine: Sequence[Slot], version: int) -> list[Slot]:
        """The slots of this shard under a newer map; answers those to be claimed.  Not while a group is under way.

        What was decided in lost slots and is in no write goes to the new owner with the rest.
        """
        state = self._state
        assert version >= state.map_version, "maps are followed in the order of their versions"
        has_missed_one = version > state.map_version + 1
        state.map_version = version
        state.newest_heard = max(state.newest_heard, version)
        mine_now = set(mine)
        lost = [slot for slot in state.terms if slot not in mine_now]
        if has_missed_one:
            self._unsure.update(state.terms)
        self._unsure &= mine_now & state.terms.keys()
        state.coming = mine_now - state.terms.keys()
        if lost:
            self._publishing.release(lost)
        self._send_held_away(lambda hosted: hosted.slot not in state.coming)
        return sorted(state.coming | self._unsure)

    def own(self, terms: Mapping[Slot, Term], now_s: float) -> None:
        """These slots were claimed under the map that is followed: what waited for them is loaded."""
        state = self._state
        # A term that is not even the next one: the store has forgotten some, and heads will tell.
        others_were_there = [slot for slot in self._unsure & terms.keys() if terms[slot] > state.terms[slot] + 1]
        if others_were_there:
            # Theirs for a while, ours again: whoever asked or listened here asks again, of rooms that are read anew.
            self._publishing.release(others_were_there)
        self._unsure -= terms.keys()
        state.terms.update(terms)
        state.coming -= terms.keys()
        if terms:
            self._feeds.took_over(now_s)
        for name in list(state.held):
            hosted = state.rooms[name]
            if hosted.slot in terms:
                del state.held[name]
                state.load(hosted)

    def not_ours(self, slots: Sequence[Slot]) -> None:
        """A claim was refused: by a newer map, which is on its way, these are another shard's."""
        self._state.coming -= set(slots)
        self._send_held_away(lambda hosted: hosted.slot not in self._state.coming)

    def tick(self) -> None:
        """Send away what has been held for HELD_TICKS_MAX."""
        held = self._state.held
        self._ticks_held = {name: self._ticks_held.get(name, 0) + 1 for name in held}
        for name in [name for name, ticks in self._ticks_held.items() if ticks > HELD_TICKS_MAX]:
            self._send_away(self._state.rooms[name])

    def _send_held_away(self, goes: Callable[[Hosted], bool]) -> None:
        for name in list(self._state.held):
            hosted = self._state.rooms[name]
            if goes(hosted):
                self._send_away(hosted)

    def _send_away(self, hosted: Hosted) -> None:
        state = self._state
        assert hosted.phase is Phase.LOADING, "what is held was never loaded"
        for link, question in hosted.waiting:
            state.send_moved(link, question)
        state.drop(hosted)
