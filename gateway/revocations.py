"""What was taken back before it ended: tokens of somebody, one session, or all that were issued before a time.  Pure.

A revocation makes void what was issued before a moment; it is no ban: whoever the site gives a
newer token to comes in with it (SEMANTICS, R65).  It is remembered for as long as a token that
it concerns could still live, and then by nobody.

On its way it is the text of a message in the room `parvis/control`, which every gateway follows.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wire.limits import AUTHOR_ID_CHARS_MAX, REVOCATIONS_MAX
from wire.names import AuthorId

_ID: Final = Meta(max_length=AUTHOR_ID_CHARS_MAX)
_Time = Annotated[float, Meta(ge=0, le=1e11)]


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Void is what `author` or `session` was given before `before`; with neither, what anybody was.

    `before` is seconds since 1970; 0 means the moment at which the revocation was published.
    """

    author: Annotated[str, _ID] = ""
    session: Annotated[str, _ID] = ""
    before: _Time = 0.0


_DECODER: Final = msgspec.json.Decoder(Revocation)
_ENCODER: Final = msgspec.json.Encoder()


def revocation_text(revocation: Revocation) -> str:
    return _ENCODER.encode(revocation).decode()


def parse_revocation(text: str) -> Revocation | None:
    """None for a text that is none: the room may carry what only a newer gateway knows."""
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


@dataclass(slots=True)
class _Entry:
    before: float
    heard_at: float


class Revocations:
    """All that is in force at one gateway; bounded by REVOCATIONS_MAX entries."""

    def __init__(self, kept_s: float) -> None:
        """`kept_s` is the longest life of a token, and the grace after it."""
        self._kept_s = kept_s
        self._everybody = 0.0
        self._authors: dict[str, _Entry] = {}
        self._sessions: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._authors) + len(self._sessions)

    def add(self, revocation: Revocation, published_s: float) -> None:
        """Take one in.  A later time for the same one replaces an earlier, never the other way round."""
        # A time still to come would be a ban, and would have to be remembered for as long.
        before = min(revocation.before or published_s, published_s)
        for table, name in ((self._authors, revocation.author), (self._sessions, revocation.session)):
            if name:
                known = table.pop(name, None)
                table[name] = _Entry(max(before, known.before if known else 0.0), published_s)
        if not revocation.author and not revocation.session:
            self._everybody = max(self._everybody, before)
        if len(self) > REVOCATIONS_MAX:
            self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        """Nobody who was revoked comes back: what does not fit is widened to everybody, who get new tokens."""
        table = self._authors if len(self._authors) >= len(self._sessions) else self._sessions
        entry = table.pop(next(iter(table)))
        self._everybody = max(self._everybody, entry.before)

    def concern(self, author: AuthorId, session: str, issued_s: float) -> bool:
        """Whether what was issued then, to this person and session, is void."""
        if issued_s < self._everybody:
            return True
        by_author, by_session = self._authors.get(author), self._sessions.get(session)
        return (by_author is not None and issued_s < by_author.before) or (
            by_session is not None and issued_s < by_session.before
        )

    def forget(self, now_s: float) -> None:
        """Drop what no living token can be concerned by."""
        for table in (self._authors, self._sessions):
            # In order of publishing: an entry that is renewed goes to the end.
            while table and next(iter(table.values())).heard_at + self._kept_s < now_s:
                del table[next(iter(table))]
