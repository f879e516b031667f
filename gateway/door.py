"""Who comes in, as whom, with which permissions, and until when.  Pure.

A hello with a token is the account that the token names; one without is a guest, known again
by the text that an earlier welcome gave it.  What a client claims of its author id, or of an
account's name, counts for nothing.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

from gateway.client import Client
from gateway.expiry import Expiry
from gateway.identity import Identities
from gateway.revocations import Revocation, Revocations
from gateway.session import Greet, Reply, Session, refused
from gateway.tokens import BadToken, Grant, TokenVerifier
from wire.capabilities import NOTHING, Capabilities
from wire.client_messages import Hello, Refreshed
from wire.codes import CloseCode, Refusal
from wire.errors import PeerError
from wire.names import RoomName
from wire.text import clean_nickname

_CLOSE_CODES: Final = {
    Refusal.TOKEN_EXPIRED: CloseCode.TOKEN_EXPIRED,
    Refusal.TOKEN_REVOKED: CloseCode.TOKEN_REVOKED,
    Refusal.TOKEN_INVALID: CloseCode.TOKEN_INVALID,
}


class Door:
    """`tokens` is None where no token is taken; `guests_may` nothing where a token is needed."""

    def __init__(
        self,
        identities: Identities,
        expiry: Expiry,
        revocations: Revocations,
        *,
        tokens: TokenVerifier | None,
        guests_may: Capabilities,
    ) -> None:
        self._identities = identities
        self._expiry = expiry
        self._revocations = revocations
        self._tokens = tokens
        self._guests_may = guests_may

    def admit(self, client: Client, greet: Greet, now_s: float, now: float) -> Greet:
        """Make the client somebody; answers its greeting without the rooms that it may not read.

        `now_s` is the wall's time, which dates tokens; `now` the clock that never goes back,
        which ends them.  Raises `PeerError` for a token that is not taken.
        """
        hello, session = greet.hello, client.session
        known = self._identities.check_session(hello.session) if hello.session else None
        session_id = known.session if known is not None else ""
        if hello.token:
            self._take_token(session, hello.token, session_id, now_s, now)
        else:
            self._take_guest(session, hello, session_id, now_s)
        session.id = known.session if known is not None and known.author == session.author else self._identities.new_session()
        if not session.is_name_given:
            name = clean_nickname(hello.name) if hello.name else Refusal.BAD_NAME
            session.name = f"guest {session.author[-4:]}" if isinstance(name, Refusal) else name
        self._expiry.add(client)
        return session.without_forbidden(greet)

    def _take_token(self, session: Session, token: str, session_id: str, now_s: float, now: float) -> None:
        grant = self._verified(token, session_id, now_s)
        if isinstance(grant, BadToken):
            raise PeerError(_CLOSE_CODES[grant.refusal], f"{grant.refusal.kind.sentence} ({grant.detail})")
        session.author = grant.author
        _take_grant(session, grant, now_s, now)

    def _take_guest(self, session: Session, hello: Hello, session_id: str, now_s: float) -> None:
        if self._guests_may == NOTHING:
            raise PeerError(CloseCode.FORBIDDEN, "this service takes no guests; present a token")
        guest = self._identities.check_guest(hello.guest, now_s) if hello.guest else None
        if guest is not None and self._revocations.concern(guest.author, session_id, guest.issued_s):
            guest = None
        session.author = guest.author if guest is not None else self._identities.new_author()
        session.issued_s = now_s
        session.may = self._guests_may

    def _verified(self, token: str, session_id: str, now_s: float) -> Grant | BadToken:
        if self._tokens is None:
            return BadToken(Refusal.TOKEN_INVALID, "this service takes no tokens")
        grant = self._tokens.verify(token, now_s)
        if isinstance(grant, Grant) and self._revocations.concern(grant.author, session_id, grant.issued_s):
            return BadToken(Refusal.TOKEN_REVOKED, "it was issued before that")
        return grant

    def texts(self, session: Session, now_s: float) -> tuple[str, str]:
        """The signed texts of a welcome, session and guest.  An account gets none as a guest: it would outlive its token."""
        guest = "" if session.expires_at < inf else self._identities.guest_token(session.author, now_s)
        return self._identities.session_token(session.id, session.author), guest

    def refresh(self, client: Client, n: int, token: str, now_s: float, now: float) -> tuple[Reply, list[RoomName]]:
        """Go on under a newer token, if it is the same person's; answers the rooms that this one may not read, too."""
        session = client.session
        grant = self._verified(token, session.id, now_s)
        if isinstance(grant, BadToken):
            return Reply(refused(grant.refusal, n, detail=grant.detail)), []
        if grant.author != session.author:
            detail = "it is another person's; say hello with it on a new connection"
            return Reply(refused(Refusal.TOKEN_INVALID, n, detail=detail)), []
        _take_grant(session, grant, now_s, now)
        lost = session.unreadable_rooms()
        return Reply(Refreshed(n, life_left_ms(session, now))), lost

    def revoke(self, revoked: Sequence[tuple[Revocation, float]], now_s: float) -> None:
        """Take in what was published; `is_void` then says whom it concerns."""
        for revocation, published_s in revoked:
            self._revocations.add(revocation, published_s)
        self._revocations.forget(now_s)

    def is_void(self, session: Session) -> bool:
        return self._revocations.concern(session.author, session.id, session.issued_s)

    def overdue(self, now: float) -> list[Client]:
        """Those whose token ended, and the grace after it, too."""
        return self._expiry.due(now)

    def forget(self, client: Client) -> None:
        self._expiry.remove(client)


def life_left_ms(session: Session, now: float) -> int:
    """What is left of a session's token; 0 for a guest, whose permission does not end."""
    return 0 if session.expires_at == inf else max(1, int((session.expires_at - now) * 1000))


def _take_grant(session: Session, grant: Grant, now_s: float, now: float) -> None:
    session.may = grant.may
    session.issued_s = grant.issued_s
    session.expires_at = now + grant.expires_s - now_s
    session.is_name_given = bool(grant.name)
    if grant.name:
        session.name = grant.name
