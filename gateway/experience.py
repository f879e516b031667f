"""How events reach their readers, as the readers have it: what the answers to our pings say.  Pure.

A `pong` names the last offset that its reader has processed in each room.  Of each room it says two things:

- **lag**: for how long the oldest event that it does not name has been here, 0 when it names the newest.  That is
  what the reader had not seen as it answered, and the answer's own way back.
- **share**: how many of the events that came since its last answer it has processed.

What was announced to it as skipped counts as processed here, and has a counter of its own.
"""

from collections.abc import Mapping

from gateway.client import Membership
from runtime.metrics import GatewayCounters


def note_seen(
    memberships: Mapping[str, Membership], seen: Mapping[str, int], now: float, counters: GatewayCounters
) -> None:
    """Count one answer; `now` is on the clock of the rings.

    What cannot be is counted and changes nothing: an offset beyond the room's head, or before an earlier answer.
    A room that the reader has left meanwhile, or an offset from before its log began anew, says nothing.
    """
    for room, offset in seen.items():
        membership = memberships.get(room)
        if membership is None:
            continue
        ring = membership.stream.ring
        processed = ring.sequence_of(offset)
        if processed is None:
            continue
        if not membership.reported <= processed <= ring.head:
            counters.reports_implausible += 1
            continue
        begun = max(membership.reported, ring.run_start - 1)
        counters.reported_due += ring.head - begun
        counters.reported_processed += processed - begun
        # Of what the ring has forgotten the age of the oldest that it holds is the least that can be said.
        lag_s = 0.0 if processed == ring.head else now - ring.arrived(max(processed + 1, ring.first))
        counters.reader_lag_seconds.observe(lag_s)
        membership.reported = processed
