"""`parvis revoke`: take back what somebody, one session or everybody was given, at every gateway of a service."""

import re
import secrets
import sys
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import trio
from cyclopts import Parameter

from client.once import NUMBER, NoAnswer, ask_once
from parvis.chat import DEFAULT_URL
from parvis.errors import StartError, tell
from runtime.lifecycle import ExitCode, Lifecycle, run_process
from wire.client_messages import Ack, Refused, Revoke
from wire.codes import CLOSE_SENTENCES, may_reconnect
from wire.limits import AUTHOR_ID_CHARS_MAX, CONNECTION_TOKEN_CHARS_MAX

_AUTHOR: Final = re.compile(rf"[ug]-[A-Za-z0-9._@:|+-]{{1,{AUTHOR_ID_CHARS_MAX - 2}}}\Z")
_SESSION: Final = re.compile(r"(?:s1\.)?([a-z2-7]{16})(?:\..*)?\Z")
# A published time is the shard's, and its clock need not be ours.
_CLOCK_SLACK_S: Final = 60


def revoke(
    *,
    user: Annotated[str, Parameter(show_default=False)] = "",
    session: Annotated[str, Parameter(show_default=False)] = "",
    issued_before: Annotated[str, Parameter(show_default=False)] = "",
    token_file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    url: str = DEFAULT_URL,
) -> ExitCode:
    """Run `parvis revoke`; the words of parvis/command.py say what it is to a person.

    Parameters
    ----------
    user
        Whose: the author id that events carry, u-SUBJECT of an account or g-... of a guest.
    session
        Of which session: its id, or the signed text of a welcome.
    issued_before
        What was given before this time: seconds since 1970, or 2026-11-25T08:00:00Z, or now, which is the default.
        With neither a user nor a session it concerns everybody.
    token_file
        A file with a connection token that grants moderate in parvis/control; - reads it from standard input.
    url
        Where a gateway is; any one will do.
    """
    question = question_of(user, session, issued_before, time.time())
    return run_process(partial(_run, question=question, token=_token_in(token_file), url=url))


def question_of(user: str, session: str, issued_before: str, now_s: float) -> Revoke:
    """What to ask for.  Raises `StartError` for words that make no sense."""
    if user and session:
        raise StartError("--user and --session are two revocations: give one of them", ExitCode.USAGE)
    if not (user or session or issued_before):
        raise StartError("say what to revoke: --user, --session, or --issued-before alone for everybody", ExitCode.USAGE)
    if user and not _AUTHOR.match(user):
        raise StartError(f"--user {user!r} is no author id: u-SUBJECT of an account, or g-... of a guest", ExitCode.USAGE)
    found = _SESSION.match(session)
    if session and found is None:
        raise StartError(f"--session {session!r} is no session: 16 letters and digits, or a text with s1. before", ExitCode.USAGE)
    before = _seconds(issued_before) if issued_before else 0
    if before > now_s + _CLOCK_SLACK_S:
        raise StartError(
            f"--issued-before {issued_before} is still to come: a revocation reaches back; to keep somebody out, issue no tokens",
            ExitCode.USAGE,
        )
    return Revoke(NUMBER, secrets.token_hex(8), user, found[1] if found is not None else "", before)


def _seconds(text: str) -> int:
    if text == "now":
        return 0
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise StartError(
            f"--issued-before {text!r} is no time: now, seconds since 1970, or 2026-11-25T08:00:00Z (with its zone)",
            ExitCode.USAGE,
        )
    return int(at.timestamp())


def _token_in(path: Path) -> str:
    """The token of the file, by itself on its line.  Raises `StartError`; says nothing of what is in it."""
    try:
        text = (sys.stdin.read() if str(path) == "-" else path.read_text()).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StartError(f"--token-file {path} cannot be read: {reason}", ExitCode.USAGE) from error
    if text.count(".") != 2 or not text.isascii() or len(text) > CONNECTION_TOKEN_CHARS_MAX:
        raise StartError(
            f"--token-file {path} holds no token: three parts with dots between, at most {CONNECTION_TOKEN_CHARS_MAX} characters",
            ExitCode.USAGE,
        )
    return text


async def _run(lifecycle: Lifecycle, *, question: Revoke, token: str, url: str) -> ExitCode:
    """Ask, unless a signal comes first; what was published then is in force all the same."""
    code = ExitCode.INTERRUPTED
    async with trio.open_nursery() as nursery:

        async def leave_at_signal() -> None:
            await lifecycle.wait_drain()
            nursery.cancel_scope.cancel()

        nursery.start_soon(leave_at_signal)
        code = await _told(_ask(question, token, url))
        nursery.cancel_scope.cancel()
    return code


async def _told(asking: Awaitable[str]) -> ExitCode:
    try:
        print(await asking)
    except StartError as error:
        return tell(error)
    return ExitCode.OK


async def _ask(question: Revoke, token: str, url: str) -> str:
    """What took effect, as a sentence.  Raises `StartError` when nothing did, or nobody knows."""
    try:
        answer = await ask_once(url, token, question, client="parvis-revoke")
    except NoAnswer as no:
        if no.code is not None and no.code >= 3000:
            known = CLOSE_SENTENCES.get(no.code, "")  # type: ignore[call-overload]
            code = ExitCode.UNAVAILABLE if may_reconnect(no.code) else ExitCode.BUG
            raise StartError(f"{url} closed the connection: {no or known} ({no.code})", code) from no
        raise StartError(f"no answer from {url}: {no}; to repeat the command does no harm", ExitCode.UNAVAILABLE) from no
    match answer:
        case Ack():
            return sentence_of(question, answer)
        case Refused():
            code = ExitCode.UNAVAILABLE if answer.temporary else ExitCode.BUG
            raise StartError(f"refused ({answer.code}): {answer.message}", code)
    raise StartError("it is not known whether it was carried out; to repeat the command does no harm", ExitCode.UNAVAILABLE)


def sentence_of(question: Revoke, ack: Ack) -> str:
    whose = f"author {question.author}" if question.author else f"session {question.session}" if question.session else "everybody"
    published_s = ack.at / 1000
    before = datetime.fromtimestamp(min(question.before or published_s, published_s), UTC)
    return (
        f"void from now on, at every gateway: what {whose} was given before {before:%Y-%m-%d %H:%M:%S} UTC "
        f"(offset {ack.offset} of {ack.room})"
    )
