"""Whether anybody is there: one hello to each host before a run.

A target that is down, or that welcomes nobody, is known in a second, and not after a minute
of figures of nothing.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

import trio

from client.client import connect
from client.updates import Connected, Reconnecting, Stopped
from loadtest.connections.failures import errno_of, refusal_code

HELLO_DEADLINE_S: Final = 5.0


async def why_unreachable(hosts: Sequence[str], rng: Random, deadline_s: float = HELLO_DEADLINE_S) -> str | None:
    """One plain sentence if one of the hosts does not welcome us; None when all do."""
    why: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        for host in hosts:
            nursery.start_soon(_say_hello, host, rng, deadline_s, why)
    for host in hosts:
        if host in why:
            return f"{host} does not welcome us ({why[host]}): check --host, and that a gateway runs there"
    return None


async def _say_hello(host: str, rng: Random, deadline_s: float, why: dict[str, str]) -> None:
    """Puts its reason into `why` unless it was welcomed."""
    with trio.move_on_after(deadline_s):
        async with connect([host], rng=rng, client="parvis-loadtest") as client:
            async for update in client.events():
                match update:
                    case Connected():
                        return
                    case Reconnecting(reason=reason, code=code) | Stopped(reason=reason, code=code):
                        # The system's own words, without whom they are about: that is in the sentence already.
                        said = refusal_code(reason) if errno_of(reason) else reason
                        why[host] = f"{said or 'the connection was closed'}, code {code}" if code != ABNORMAL else said
                        return
                    case _:
                        continue
    why.setdefault(host, f"it says nothing for {deadline_s:g} s")


ABNORMAL: Final = 1006
"""What a connection ends with that nobody closed: no number to tell people."""
