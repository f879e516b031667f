"""What a reader of a terminal sees of a room: each update as lines of text.

Other people's names and texts are data: control and direction characters never reach
the terminal, markup is never read, and each name keeps its colour.
"""

import re
from datetime import datetime, tzinfo
from zlib import crc32

from rich.text import Text

from client.updates import Connected, Connecting, Gap, JoinRefused, Reconnecting, Stopped, Update
from wire.client_messages import Count, Event, Hide, Joined, Refused, Reset, Skipped, Stale, Unknown
from wire.codes import CLOSE_SENTENCES, CloseCode

# Readable on dark and on light ground; red is kept for trouble.
_COLOURS = (
    "cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta",
    "bright_blue", "dark_orange", "medium_purple", "spring_green3", "deep_sky_blue1", "hot_pink",
)  # fmt: skip
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_RESET_REASONS = {
    "trimmed": "too much happened since",
    "limit": "too much happened since",
    "policy": "the room does not keep it",
}
_INDENT = " " * 6
# Texts of this many messages are remembered, to name whose was edited or removed.
_REMEMBERED_MAX = 1000


def safe(text: str) -> str:
    """`text` without anything that could move a cursor, colour a line or turn its direction."""
    return _UNSAFE.sub("", text)


def colour_of(author: str) -> str:
    """The same author has the same colour in every terminal."""
    return _COLOURS[crc32(author.encode()) % len(_COLOURS)]


class Transcript:
    """Turns updates of one room into lines; knows who we are and what was shown."""

    def __init__(self, room: str, zone: tzinfo | None = None) -> None:
        self.room = room
        self.present = 0
        self.is_stale = False
        self.is_connected = False
        self.first_shown = 0
        """The earliest offset on the screen, for `/history`; 0 when there is none."""
        self._author = ""
        self._zone = zone
        self._names: dict[int, tuple[str, str]] = {}
        self._removed: set[int] = set()

    def lines_of(self, update: Update) -> list[Text]:
        """What to print for one update; often nothing."""
        match update:
            case Event():
                return self._event(update)
            case Hide(offset=offset):
                return self._removal(offset, "")
            case Joined():
                return self._joined(update)
            case Count(present=present):
                self.present = present
                return []
            case Stale(stale=stale):
                self.is_stale = stale
                behind = "the room cannot be reached right now; what you see may be behind"
                return [_notice(behind if stale else "up to date again")]
            case Skipped() | Gap() | Reset() | JoinRefused():
                return [_notice(_sentence_of(update))]
            case Connecting() | Connected() | Reconnecting() | Stopped():
                return self._connection(update)

    def lines_of_history(self, events: tuple[Event, ...]) -> list[Text]:
        """Older events, fetched on request."""
        lines = [line for event in events for line in self._event(event)]
        return [_notice("earlier:"), *lines, _notice("now:")] if lines else [_notice("there is nothing earlier")]

    def _event(self, event: Event) -> list[Text]:
        if event.kind == "epoch":
            return [_notice("the room's log begins anew here")]
        if event.kind == "delete":
            return self._removal(event.target, "")
        self.first_shown = min(self.first_shown or event.offset, event.offset)
        shown = event.target if event.kind == "edit" else event.offset
        if event.removed:
            self._removed.add(shown)
            return [_notice(f"#{shown} was removed")] if event.kind == "message" else []
        if len(self._names) >= _REMEMBERED_MAX:
            del self._names[next(iter(self._names))]
        self._names[shown] = (event.by, event.name)
        return self._speech(event, shown)

    def _speech(self, event: Event, shown: int) -> list[Text]:
        clock = datetime.fromtimestamp(event.at / 1000, self._zone).strftime("%H:%M")
        head = Text()
        head.append(f"{clock} #{shown} ", style="dim")
        head.append(self._called(event.by, event.name), style=colour_of(event.by))
        if event.kind == "edit":
            head.append(" (edited)", style="dim")
        head.append(": ")
        first, *rest = safe(event.text).split("\n")
        head.append(first)
        return [head, *(Text(_INDENT + line) for line in rest)]

    def _called(self, author: str, name: str) -> str:
        shown = safe(name) or "somebody"
        return f"{shown} (you)" if author and author == self._author else shown

    def _removal(self, offset: int, reason: str) -> list[Text]:
        # The signal overtakes the event that says the same: one line is enough.
        if offset in self._removed:
            return []
        self._removed.add(offset)
        author, name = self._names.pop(offset, ("", ""))
        whose = f" by {self._called(author, name)}" if author else ""
        return [_notice(f"#{offset}{whose} was removed{reason}")]

    def _joined(self, joined: Joined) -> list[Text]:
        self.present = joined.present
        if joined.recovered:
            missed = joined.offset - joined.since
            return [_notice(f"back in the room, {_counted(missed, 'message')} to catch up with")] if missed else []
        return [] if joined.asked else [_notice(f"you are in {joined.room}, {_counted(joined.present, 'person', 'people')} here")]

    def _connection(self, update: Connecting | Connected | Reconnecting | Stopped) -> list[Text]:
        self.is_connected = isinstance(update, Connected)
        match update:
            case Connected():
                self._author = update.author
                return [] if update.moved else [_notice(f"connected as {safe(update.name) or 'a guest'}")]
            case Reconnecting():
                why = safe(update.reason) or close_sentence(update.code)
                return [_trouble(f"connection lost ({why.rstrip('.')}), trying again in {update.delay_s:.1f} s")]
            case Stopped(code=CloseCode.NORMAL):
                return []
            case Stopped():
                return [_trouble(f"disconnected for good: {safe(update.reason) or close_sentence(update.code)}")]
            case Connecting():
                return []


def close_sentence(code: int) -> str:
    """A close code in words."""
    try:
        return CLOSE_SENTENCES[CloseCode(code)]
    except ValueError:
        return "no goodbye was said" if code == 1006 else f"code {code}"


def refusal_line(outcome: Refused | Unknown, what: str) -> Text:
    """A refusal as a plain sentence."""
    if isinstance(outcome, Unknown):
        return _trouble(f"it is not known whether your {what} arrived; look before you send it again")
    again = f" Try again in {outcome.retry_after_ms / 1000:.1f} s." if outcome.temporary and outcome.retry_after_ms else ""
    return _trouble(f"your {what} was refused: {safe(outcome.message)}{again}")


def _sentence_of(update: Skipped | Gap | Reset | JoinRefused) -> str:
    match update:
        case Skipped(first=first, last=last):
            return f"{_counted(last - first + 1, 'message')} left out (#{first} to #{last}); /history shows them"
        case Gap(first=first, last=last):
            return f"#{first} to #{last} did not come; asking for them"
        case Reset(reason=reason):
            return f"some messages were missed: {_RESET_REASONS.get(reason, 'the log of the room is another one now')}"
        case JoinRefused(refused=refused):
            return f"the room cannot be entered: {safe(refused.message)}"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _notice(sentence: str) -> Text:
    return Text(f"- {sentence}", style="dim")


def _trouble(sentence: str) -> Text:
    return Text(f"! {sentence}", style="red")


