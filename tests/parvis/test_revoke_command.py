"""parvis/revoke_command.py: `parvis revoke` as an operator meets it, against a real `parvis up`."""

import time
from pathlib import Path

import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from parvis.errors import StartError
from parvis.revoke_command import question_of
from runtime.lifecycle import ExitCode
from tests.support.parvis_program import Ended, parvis_up, run_parvis
from tests.support.tokens import ISSUER, key_set_text, token
from tests.support.websocket_end import closed_with
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Hello, Welcome
from wire.codes import CloseCode

NOW_S = 1_800_000_000.0
SESSION = "tkxw4bsg5jdm2q6y"


def test_what_is_asked_for() -> None:
    by_user = question_of("u-ada", "", "", NOW_S)
    assert (by_user.author, by_user.session, by_user.before) == ("u-ada", "", 0)
    assert question_of("", SESSION, "", NOW_S).session == SESSION
    assert question_of("", f"s1.{SESSION}.u-ada.o.Mac_-", "", NOW_S).session == SESSION
    everybody = question_of("", "", "now", NOW_S)
    assert (everybody.author, everybody.session, everybody.before) == ("", "", 0)
    assert question_of("g-a", "", "1790000000", NOW_S).before == 1_790_000_000
    assert question_of("", "", "2026-11-25T08:00:00Z", NOW_S).before == 1_795_593_600
    assert question_of("", "", "2026-11-25T09:00:00+01:00", NOW_S).before == 1_795_593_600


@pytest.mark.parametrize(
    ("user", "session", "before", "said"),
    [
        ("", "", "", "say what to revoke"),
        ("u-ada", SESSION, "", "give one of them"),
        ("ada", "", "", "--user 'ada' is no author id"),
        ("u-", "", "", "is no author id"),
        ("u-a\n", "", "", "is no author id"),
        ("u-" + "a" * 63, "", "", "is no author id"),
        ("", "TKXW", "", "--session 'TKXW' is no session"),
        ("", "", "yesterday", "'yesterday' is no time"),
        ("", "", "-5", "is no time"),
        ("", "", "2026-11-25T08:00:00", "with its zone"),
        ("", "", "1800000100", "is still to come"),
    ],
)
def test_words_that_make_no_sense_are_refused_in_one_sentence(user: str, session: str, before: str, said: str) -> None:
    with pytest.raises(StartError) as caught:
        question_of(user, session, before, NOW_S)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.code is ExitCode.USAGE


async def come_in(websocket: WebSocketConnection, text: str = "") -> Welcome:
    await websocket.send_message(encode(Hello(1, token=text), Form.MSGPACK))
    data = await websocket.get_message()
    assert isinstance(data, bytes)
    welcome = decode_server_message(data, Form.MSGPACK)
    assert isinstance(welcome, Welcome)
    return welcome


async def test_a_user_a_session_and_everybody_are_out_at_every_gateway(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(key_set_text("EdDSA"))
    now_s = time.time()
    desk = tmp_path / "moderator.token"
    desk.write_text(token("EdDSA", now_s=now_s, sub="mod", caps={"parvis/control": "moderate"}) + "\n")
    ada, bob = (token("EdDSA", now_s=now_s, sub=name) for name in ("ada", "bob"))
    settings = ("--set", f"tokens.keys_file={keys}", "--set", f"tokens.issuer={ISSUER}", "--gateways", "2")
    with trio.fail_after(120):
        async with parvis_up(tmp_path / "data", *settings) as up:
            first, second = up.websocket_urls

            async def revoke(*words: str, token_file: str = str(desk), stdin: bytes = b"") -> Ended:
                ended = await run_parvis("revoke", *words, "--token-file", token_file, "--url", first, stdin=stdin)
                assert "Traceback" not in ended.err
                return ended

            opened = [open_websocket_url(url, subprotocols=[Form.MSGPACK.value]) for url in (first, second, second, first)]
            async with opened[0] as ada_here, opened[1] as ada_there, opened[2] as bob_there, opened[3] as guest:
                await come_in(ada_here, ada)
                await come_in(ada_there, ada)
                session = (await come_in(bob_there, bob)).session
                await come_in(guest)
                told = await revoke("--user", "u-ada")
                assert (told.code, told.err) == (0, "")
                assert told.out.startswith("void from now on, at every gateway: what author u-ada was given before 20")
                for websocket in (ada_here, ada_there):
                    assert await closed_with(websocket) == CloseCode.TOKEN_REVOKED
                # Whoever keeps a token in a pipe need not write it down.
                told = await revoke("--session", session, token_file="-", stdin=desk.read_bytes())
                assert (told.code, told.err) == (0, "")
                assert await closed_with(bob_there) == CloseCode.TOKEN_REVOKED
                # Everybody's, but nothing that was given since this test began.
                told = await revoke("--issued-before", str(int(now_s) - 60))
                assert "what everybody was given before" in told.out
                # The guest is still there, and goes with everybody; so does the moderator's own token.
                told = await revoke("--issued-before", "now")
                assert told.code == 0
                assert await closed_with(guest) == CloseCode.TOKEN_REVOKED
                told = await revoke("--user", "u-ada")
                assert (told.code, told.out) == (ExitCode.UNAVAILABLE, "")
                assert "(3007)" in told.err


async def test_what_cannot_be_done_is_one_sentence(tmp_path: Path) -> None:
    keys, pipe = tmp_path / "keys.json", ("--token-file", "-")
    keys.write_bytes(key_set_text("HS256"))
    now_s = time.time()
    reader = token(now_s=now_s, sub="ada", caps={"*": "read moderate"}).encode()
    forged = token(now_s=now_s, key=b"another secret, which nobody here knows").encode()
    settings = ("--set", f"tokens.keys_file={keys}", "--set", f"tokens.issuer={ISSUER}")
    async with parvis_up(tmp_path / "data", *settings) as up:
        url = up.websocket_urls[0]
        ended = await run_parvis("revoke", "--user", "u-bob", *pipe, "--url", url, stdin=reader)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err == "parvis: refused (not_allowed): You have no permission for this here.\n"
        ended = await run_parvis("revoke", "--user", "u-bob", *pipe, "--url", url, stdin=forged)
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert "(3500)" in ended.err
        assert forged.decode() not in ended.err
    for words, stdin, code in (
        (("--user", "bob"), reader, ExitCode.USAGE),
        (("--user", "u-bob"), b"no token", ExitCode.USAGE),
        (("--user", "u-bob"), reader, ExitCode.UNAVAILABLE),
    ):
        ended = await run_parvis("revoke", *words, *pipe, "--url", url, stdin=stdin)
        assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    nowhere = tmp_path / "none"
    ended = await run_parvis("revoke", "--user", "u-bob", "--token-file", str(nowhere))
    assert ended.code == ExitCode.USAGE
    assert ended.err == f"parvis: --token-file {nowhere} cannot be read: No such file or directory\n"
