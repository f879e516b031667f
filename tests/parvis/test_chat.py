"""`parvis chat` from end to end over a gateway in memory: what is typed, what is read, how it ends."""

import io
from collections.abc import AsyncIterator
from random import Random

import pytest
import trio
from rich.text import Text
from trio.testing import MockClock

from parvis.chat import chat
from parvis.chat_terminal import Pipe
from runtime.lifecycle import ExitCode
from tests.support.honest_gateway import HonestGateway, Peer
from wire.client_messages import AnyClientMessage, Publish, Refused

ROOM = "square/main"


class FakeScreen:
    """A person who types when the test says so, and what they have seen."""

    is_interactive = True

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.prompts: list[str] = []
        self._typed, self._lines = trio.open_memory_channel[str](100)
        self._changed = trio.Event()

    def show(self, lines: list[Text]) -> None:
        self.seen += [line.plain for line in lines]
        self._changed.set()

    def complain(self, line: Text) -> None:
        self.show([line])

    def prompt(self, prompt: str) -> None:
        self.prompts.append(prompt)

    async def lines(self) -> AsyncIterator[str]:
        async for line in self._lines:
            yield line

    def type(self, line: str) -> None:
        self._typed.send_nowait(line)

    def go(self) -> None:
        self._typed.close()

    async def until(self, part: str) -> None:
        with trio.fail_after(60):
            while not any(part in line for line in self.seen):
                self._changed = trio.Event()
                await self._changed.wait()


class Talk:
    """One chat under way."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.gateway = HonestGateway(nursery)
        self.screen = FakeScreen()
        self.code: int | None = None

    async def run(self) -> None:
        self.code = await chat(
            ROOM, "Ada", urls=["ws://a"], rng=Random(1), screen=self.screen, dial_url=self.gateway.dial
        )


@pytest.fixture
async def talk(nursery: trio.Nursery, autojump_clock: MockClock) -> Talk:
    made = Talk(nursery)
    nursery.start_soon(made.run)
    await made.screen.until("you are in")
    return made


async def ended(talk: Talk) -> int:
    with trio.fail_after(60):
        while talk.code is None:
            await trio.sleep(0.1)
    return talk.code


async def test_what_is_typed_is_said_in_order_and_read(talk: Talk) -> None:
    for line in ("one", "two", "", "//slash", "three"):
        talk.screen.type(line)
    await talk.screen.until("three")
    assert [event.text for event in talk.gateway.room(ROOM).events] == ["one", "two", "/slash", "three"]
    assert [line.split(" ", 1)[1] for line in talk.screen.seen if "(you)" in line] == [
        "#1 author1 (you): one",
        "#2 author1 (you): two",
        "#3 author1 (you): /slash",
        "#4 author1 (you): three",
    ]


async def test_commands_edit_delete_rename_and_show_history(talk: Talk) -> None:
    for number in range(4):
        talk.screen.type(f"line {number}")
    talk.screen.type("/edit 2 better")
    talk.screen.type("/delete #3")
    talk.screen.type("/name Grace")
    await talk.screen.until("was removed")
    assert any("#2" in line and "(edited): better" in line for line in talk.screen.seen)
    await trio.sleep(1)
    assert talk.screen.prompts[-1].endswith(" Grace> ")
    talk.screen.type("/help")
    await talk.screen.until("/history [K]")
    talk.screen.type("/history 5")
    await talk.screen.until("- now:")


@pytest.mark.parametrize("line", ["/edit", "/edit x y", "/edit 3", "/delete", "/delete me", "/shout", "/name \u200b", "x" * 501])
async def test_what_cannot_be_done_is_said_in_a_sentence(talk: Talk, line: str) -> None:
    talk.screen.type(line)
    await talk.screen.until("! ")
    assert not talk.gateway.room(ROOM).events


@pytest.mark.parametrize("leave", ["/quit", None])
async def test_leaving_ends_it_with_zero(talk: Talk, leave: str | None) -> None:
    if leave:
        talk.screen.type(leave)
    else:
        talk.screen.go()
    assert await ended(talk) == ExitCode.OK


async def test_a_lost_connection_is_told_and_healed(talk: Talk) -> None:
    await talk.gateway.cut()
    await talk.screen.until("! connection lost")
    assert talk.screen.prompts[-1] == f"[{ROOM} · not connected] Ada> "
    talk.gateway.say(ROOM, "while you were away")
    await talk.screen.until("while you were away")
    assert talk.screen.prompts[-1] == f"[{ROOM} · 1 here] Ada> "


async def test_a_server_that_sends_us_away_ends_it(talk: Talk) -> None:
    await talk.gateway.close_all(3507, "not here")
    await talk.screen.until("! disconnected for good: not here")
    assert await ended(talk) == ExitCode.UNAVAILABLE


async def test_a_room_that_is_none_is_said_before_anything_is_dialled(nursery: trio.Nursery) -> None:
    gateway, screen = HonestGateway(nursery), FakeScreen()
    assert await chat("Square", "Ada", rng=Random(1), screen=screen, dial_url=gateway.dial) == ExitCode.USAGE
    assert "is not a room name" in screen.seen[0]
    assert gateway.dialled == []


async def pipe_through(nursery: trio.Nursery, gateway: HonestGateway, lines: str) -> tuple[int, str, str]:
    target, complaints = io.StringIO(), io.StringIO()
    screen = Pipe(io.StringIO(lines), target, complaints)
    with trio.fail_after(120):
        code = await chat(ROOM, "Ada", rng=Random(1), screen=screen, dial_url=gateway.dial)
    return code, target.getvalue(), complaints.getvalue()


async def test_a_script_says_its_lines_and_ends_when_they_were_seen(nursery: trio.Nursery) -> None:
    gateway = HonestGateway(nursery)
    code, read, complaints = await pipe_through(nursery, gateway, "one\ntwo\n")
    assert (code, complaints) == (0, "")
    assert [event.text for event in gateway.room(ROOM).events] == ["one", "two"]
    assert "(you): two" in read


async def test_a_script_waits_when_it_is_too_fast_and_fails_when_it_is_refused(nursery: trio.Nursery) -> None:
    gateway = HonestGateway(nursery)
    refusals = [Refused(0, "too_fast", "Slow down.", True, 10), Refused(0, "forbidden", "Not you.")]

    def refuse(peer: Peer, message: AnyClientMessage) -> bool:
        assert isinstance(message, Publish)
        if not refusals:
            return False
        refusal = refusals.pop(0)
        peer.send(Refused(message.n, refusal.code, refusal.message, refusal.temporary, refusal.retry_after_ms))
        return True

    gateway.on[Publish] = refuse
    code, _, complaints = await pipe_through(nursery, gateway, "one\ntwo\n")
    assert code == 1
    assert complaints == "! your message was refused: Not you.\n"
    assert [event.text for event in gateway.room(ROOM).events] == ["two"]
