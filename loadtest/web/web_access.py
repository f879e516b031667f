"""Who may look at the web view, and who may steer.  Pure.

The page listens on this machine alone unless it is told otherwise, and then it asks for a
login.  A browser is also the tool of every other page that its person has open, so:

- without a login it must have been asked by a loopback name: a foreign name that was made to
  point here (DNS rebinding) is refused;
- what steers must come from our own page: the same origin, and the token that only a reader
  of the page knows (CSRF).
"""

import binascii
import hmac
import ipaddress
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from runtime.http_headers import host_of

PASSWORD_CHARACTERS_MIN: Final = 8
TOKEN_HEADER: Final = "x-parvis-token"
_READING: Final = ("GET", "HEAD")


class LoginError(ValueError):
    """A login that cannot be used; the message is one plain sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class Login:
    """One name and one password, for all who watch."""

    user: str
    password: str

    @classmethod
    def parse(cls, text: str) -> "Login":
        """Of ``user:password``; raises `LoginError`, without the password in it."""
        user, colon, password = text.partition(":")
        if not colon or not user:
            raise LoginError("the login of the web view must be written user:password")
        if len(password) < PASSWORD_CHARACTERS_MIN:
            raise LoginError(f"the password of the web view must have at least {PASSWORD_CHARACTERS_MIN} characters")
        return cls(user, password)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request goes no further."""

    status: int
    sentence: str


_NO_HOST: Final = Refusal(400, "This Host header names no host.")
_NOT_LOOPBACK: Final = Refusal(403, "This page answers on this machine's own names only: ask it as 127.0.0.1 or localhost.")
_NO_LOGIN: Final = Refusal(401, "This page asks for a login.")
_FOREIGN: Final = Refusal(403, "This was not sent by the load test's own page: reload it and try again.")


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one web view; `token` stands in its page and nowhere else."""

    token: str
    login: Login | None

    def refuse(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        """None for a request that may go on; names of headers are in lower case."""
        host = host_of(headers.get("host", ""))
        if host is None:
            return _NO_HOST
        if self.login is None and not is_loopback(host):
            return _NOT_LOOPBACK
        if self.login is not None and not _is_login(self.login, headers.get("authorization", "")):
            return _NO_LOGIN
        if method not in _READING and not self._is_from_our_page(headers):
            return _FOREIGN
        return None

    def _is_from_our_page(self, headers: Mapping[str, str]) -> bool:
        # Behind a proxy that ends TLS the scheme is another one than ours; host and port are the browser's own.
        scheme, _, origin = headers.get("origin", "").partition("://")
        is_same_origin = scheme in ("http", "https") and origin == headers.get("host", "")
        return is_same_origin and _is_equal(headers.get(TOKEN_HEADER, ""), self.token)


def is_loopback(host: str) -> bool:
    """Whether a host, as a person writes it, can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_login(login: Login, header: str) -> bool:
    scheme, _, encoded = header.partition(" ")
    try:
        given = b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return False
    return _is_equal(given, f"{login.user}:{login.password}")


def _is_equal(given: str, expected: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode(), expected.encode())
