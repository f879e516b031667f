"""What tests do with a client again and again: say lines, read lines."""

from collections.abc import Iterable
from random import Random

import trio

from client.client import Client, connect
from wire.client_messages import Ack, Event, Refused, Unknown

ROOM = "square/main"


async def say(client: Client, lines: Iterable[str], room: str = ROOM, *, patient: bool = False) -> dict[str, int]:
    """Publish each and wait for its acknowledgement; the offset of each line.

    `patient`: whoever is told "later" offers the line again, under the same id, as a person's program would.
    """
    offsets = {}
    for line in lines:
        message_id = client.new_id()
        outcome = await client.publish(room, line, message_id)
        with trio.fail_after(30):
            while patient and (isinstance(outcome, Unknown) or (isinstance(outcome, Refused) and outcome.temporary)):
                await trio.sleep(max(0.05, outcome.retry_after_ms / 1000))
                outcome = await client.publish(room, line, message_id)
        assert isinstance(outcome, Ack), outcome
        offsets[line] = outcome.offset
    return offsets


async def read_lines(client: Client, until: str, room: str = ROOM) -> list[tuple[int, str]]:
    """Offset and text of the messages that come, up to and with `until`."""
    seen = []
    with trio.fail_after(30):
        async for update in client.events():
            if isinstance(update, Event) and update.room == room and update.kind == "message":
                seen.append((update.offset, update.text))
                if update.text == until:
                    return seen
    raise AssertionError("the client has ended")


async def lines_of(urls: list[str], until: str, room: str = ROOM) -> list[tuple[int, str]]:
    """What somebody who comes now is shown, up to and with `until`."""
    async with connect(urls, name="reader", rng=Random(1), rooms=[room], history=300) as reader:
        return await read_lines(reader, until, room)
