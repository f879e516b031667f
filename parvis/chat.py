"""`parvis chat`: talk in a room from a terminal, or from a script through pipes."""

from collections.abc import Sequence
from random import Random, SystemRandom
from typing import Final

import trio
from rich.text import Text

from client.client import Client, connect
from client.connection import Dial, dial
from client.updates import HistoryPage, PublishOutcome, Update
from parvis.chat_terminal import Screen, open_screen
from parvis.chat_transcript import Transcript, refusal_line, safe
from runtime.lifecycle import ExitCode
from wire.client_codec import Form
from wire.client_messages import Ack, Event, Refused, Reset, Skipped
from wire.codes import CloseCode
from wire.names import parse_room

DEFAULT_URL: Final = "ws://127.0.0.1:8001"
_HISTORY_LINES: Final = 30
# After the last line of a script: how long to wait until it was seen in the room, too.
_LAST_WORDS_S: Final = 2.0
# How often a script's line is offered again after "later, please": a minute at the usual advice.
_TRIES_MAX: Final = 60
_LINES_WAITING_MAX: Final = 16

HELP: Final = """\
/edit N TEXT   replace the text of your message #N
/delete N      remove your message #N
/name NAME     speak under another name
/history [K]   show K earlier messages
/quit          leave (or Ctrl-C, or Ctrl-D)
//...          say a line that begins with a slash"""


async def chat(
    room: str,
    name: str,
    *,
    urls: Sequence[str] = (DEFAULT_URL,),
    json: bool = False,
    stay: bool = False,
    history: int = _HISTORY_LINES,
    rng: Random | None = None,
    screen: Screen | None = None,
    dial_url: Dial = dial,
) -> int:
    """Talk in `room` as `name` until the person leaves; the exit code.

    `json` speaks the JSON form.  Through pipes every line of standard input is said, in
    order, and the chat ends with the input unless `stay`; then the code is 1 if a line was
    refused.  UNAVAILABLE (and a sentence) when the server sends us away for good.
    """
    if screen is None:
        with open_screen() as opened:
            return await chat(
                room, name, urls=urls, json=json, stay=stay, history=history, rng=rng, screen=opened, dial_url=dial_url
            )
    if parse_room(room) is None:
        screen.complain(Text(f"{safe(room)!r} is not a room name: namespace/name in lower case, as in square/main"))
        return ExitCode.USAGE
    form = Form.JSON if json else Form.MSGPACK
    async with connect(
        urls,
        name=name,
        rng=rng or SystemRandom(),
        rooms=[room],
        history=history,
        form=form,
        dial_url=dial_url,
        client="parvis-chat",
    ) as client:
        return await _Conversation(client, room, screen, stay).run()


class _Conversation:
    """One person in one room: what they read, what they type."""

    def __init__(self, client: Client, room: str, screen: Screen, stay: bool) -> None:
        self._client = client
        self._room = room
        self._screen = screen
        self._stay = stay
        self._transcript = Transcript(room)
        self._is_any_refused = False
        self._last_said = 0
        """The offset of what this person did last; their script ends when it was shown."""
        self._shown = 0
        self._seen = trio.Event()

    async def run(self) -> int:
        """Owns two tasks: what is read, what is typed; either one's end is the end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, nursery.cancel_scope)
            nursery.start_soon(self._type, nursery.cancel_scope)
        if self._client.stop_code not in (None, CloseCode.NORMAL):
            return ExitCode.UNAVAILABLE
        return 1 if self._is_any_refused and not self._screen.is_interactive else ExitCode.OK

    # --- reading ----------------------------------------------------------------------------

    async def _read(self, conversation_scope: trio.CancelScope) -> None:
        async for update in self._client.events():
            self._show(update)
        conversation_scope.cancel()

    def _show(self, update: Update) -> None:
        lines = self._transcript.lines_of(update)
        self._screen.prompt(self._prompt())
        self._screen.show(lines)
        match update:
            case Event(offset=offset) | Skipped(last=offset) | Reset(offset=offset):
                self._shown = offset
                self._seen.set()

    def _prompt(self) -> str:
        state = f"{self._transcript.present or '?'} here" if self._transcript.is_connected else "not connected"
        behind = ", behind" if self._transcript.is_stale else ""
        return f"[{self._room} · {state}{behind}] {safe(self._client.name)}> "

    # --- typing ------------------------------------------------------------------------------

    async def _type(self, conversation_scope: trio.CancelScope) -> None:
        waiting, typed = trio.open_memory_channel[str](_LINES_WAITING_MAX)
        async with trio.open_nursery() as typing_nursery:
            typing_nursery.start_soon(self._obey_all, typed)
            async with waiting:
                async for line in self._screen.lines():
                    if line.strip() == "/quit":
                        break
                    # Waits when a script is faster than the room; a person can type on.
                    await waiting.send(line)
            if self._screen.is_interactive:
                conversation_scope.cancel()
        await self._see_last_words()
        if not self._stay:
            conversation_scope.cancel()

    async def _obey_all(self, typed: trio.MemoryReceiveChannel[str]) -> None:
        """One line after the other, so that they are said in the order in which they were typed."""
        async for line in typed:
            await self._obey(line)

    async def _see_last_words(self) -> None:
        with trio.move_on_after(_LAST_WORDS_S):
            while self._shown < self._last_said:
                self._seen = trio.Event()
                await self._seen.wait()

    async def _obey(self, line: str) -> None:
        if not line.strip():
            return
        if not line.startswith("/") or line.startswith("//"):
            await self._say(line.removeprefix("/"))
            return
        word, _, rest = line.partition(" ")
        match word:
            case "/edit":
                await self._edit(rest)
            case "/delete":
                await self._delete(rest)
            case "/name":
                await self._rename(rest)
            case "/history":
                await self._earlier(rest)
            case "/help":
                self._screen.show([Text(each) for each in HELP.splitlines()])
            case _:
                self._complain(Text(f"! there is no command {safe(word)}; /help lists them", style="red"))

    async def _say(self, text: str) -> None:
        message_id = self._client.new_id()
        for _ in range(_TRIES_MAX):
            outcome = await self._client.publish(self._room, text, message_id)
            # A person reads "slow down" and decides; a script's lines are offered again.
            if self._screen.is_interactive or not (isinstance(outcome, Refused) and outcome.temporary):
                break
            await trio.sleep(max(0.1, outcome.retry_after_ms / 1000))
        self._conclude(outcome, "message")

    def _conclude(self, outcome: PublishOutcome, what: str) -> None:
        if isinstance(outcome, Ack):
            self._last_said = outcome.offset
        else:
            self._complain(refusal_line(outcome, what))

    async def _edit(self, rest: str) -> None:
        number, _, text = rest.strip().partition(" ")
        target = _number(number)
        if target is None or not text.strip():
            self._complain(Text("! say which message and the new text: /edit 12 what I meant", style="red"))
            return
        self._conclude(await self._client.edit(self._room, target, text), "edit")

    async def _delete(self, rest: str) -> None:
        target = _number(rest.strip())
        if target is None:
            self._complain(Text("! say which message: /delete 12", style="red"))
            return
        self._conclude(await self._client.delete(self._room, target), "removal")

    async def _rename(self, rest: str) -> None:
        outcome = await self._client.rename(rest)
        if isinstance(outcome, Refused):
            self._complain(refusal_line(outcome, "name"))
        else:
            self._screen.prompt(self._prompt())

    async def _earlier(self, rest: str) -> None:
        limit = _number(rest.strip()) or _HISTORY_LINES
        first = self._transcript.first_shown
        outcome = await self._client.history(self._room, before=first or None, limit=limit)
        if isinstance(outcome, HistoryPage):
            self._screen.show(self._transcript.lines_of_history(outcome.events))
        else:
            self._complain(refusal_line(outcome, "question"))

    def _complain(self, line: Text) -> None:
        self._is_any_refused = True
        self._screen.complain(line)


def _number(word: str) -> int | None:
    """``12`` or ``#12``."""
    digits = word.removeprefix("#")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else None


