"""parvis/up.py: the whole thing from outside, as a person or a supervisor has it."""

import json
import os
import signal
import socket
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
import trio

from client.client import connect
from runtime.process_list import read_processes
from tests.support.http import fetch
from tests.support.parvis_program import parvis_up, run_parvis
from tests.support.talk import ROOM, lines_of, read_lines, say
from tests.support.tls import write_authority, write_pair


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        async with connect(up.websocket_urls, name="Ada", rng=Random(1), rooms=[ROOM]) as ada:
            said = await say(ada, [f"line {n}" for n in range(15)])
        assert await up.end() == 0
    async with parvis_up(tmp_path / "data") as again:
        seen = await lines_of(again.websocket_urls, "line 14")
        assert seen == [(offset, line) for line, offset in said.items()]


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    acknowledged: dict[str, int] = {}
    async with parvis_up(tmp_path / "data") as up:
        async with connect(up.websocket_urls, name="Ada", rng=Random(1), rooms=[ROOM]) as ada:
            acknowledged |= await say(ada, [f"before {n}" for n in range(10)])
            up.process.kill()
            await up.process.wait()
    async with parvis_up(tmp_path / "data") as again:
        async with connect(again.websocket_urls, name="Bo", rng=Random(2), rooms=[ROOM]) as bo:
            await say(bo, ["after"])
            seen = {line: offset for offset, line in await read_lines(bo, "after")}
    assert {line: seen[line] for line in acknowledged} == acknowledged
    assert sorted(seen.values()) == list(range(1, len(seen) + 1))


async def test_a_client_goes_on_across_a_restart_without_losing_or_repeating_a_line(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        urls = up.websocket_urls
        async with connect(urls, name="Ada", rng=Random(1), rooms=[ROOM]) as ada:
            await say(ada, ["one", "two"])
            seen = await read_lines(ada, "two")
            assert await up.end() == 0
            async with trio.open_nursery() as nursery:
                # Said while nothing is there: the client keeps it until something is.
                nursery.start_soon(say, ada, ["three"])
                async with parvis_up(tmp_path / "data", ports=up.same_ports):
                    seen += await read_lines(ada, "three")
                    async with connect(urls, name="Bo", rng=Random(2), rooms=[ROOM]) as bo:
                        await say(bo, ["four"])
                    seen += await read_lines(ada, "four")
    assert seen == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]


async def test_a_second_one_in_the_same_directory_says_who_is_there(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        second = await run_parvis("up", "--data-dir", str(tmp_path / "data"), "--port", "0")
        assert second.code == 75
        assert f"is in use by the parvis with process id {up.process.pid}" in second.err
        assert "Traceback" not in second.err
        assert await up.end(signal.SIGINT) == 0


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    patient = ["--set", "gateway.drain_deadline_s=600"]
    async with parvis_up(tmp_path / "data", *patient) as up:
        stream = await trio.open_tcp_stream("127.0.0.1", int(up.websocket_urls[0].rpartition(":")[2].rstrip("/")))
        await stream.send_all(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: parvis.v1.json\r\n\r\n"
        )
        hello = b'{"t":"hello","v":1}'
        await stream.send_all(bytes((0x81, 0x80 | len(hello), 0, 0, 0, 0)) + hello)
        heard = b""
        while b"welcome" not in heard:
            heard += await stream.receive_some(4096)
        up.process.send_signal(signal.SIGTERM)
        while b"goaway" not in heard:
            heard += await stream.receive_some(4096)
        # This client does not go, so only the second signal ends the waiting.
        assert await up.end(signal.SIGTERM) == 128 + signal.SIGTERM
        await stream.aclose()


async def test_the_page_the_gateway_and_the_admin_port_are_where_the_banner_says(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        config = json.loads((await fetch(up.page_port, "/config.json")).body)
        assert config == {"websocket_urls": up.websocket_urls}
        assert (await fetch(up.admin_port, "/readyz")).status == 200
        metrics = (await fetch(up.admin_port, "/metrics")).body.decode()
        for name in ("parvis_gateway_connections", "parvis_broker_events_total", "parvis_router_links_up", "parvis_build_info"):
            assert name in metrics, name
        assert str(tmp_path / "data") in up.banner
        [listed] = read_processes(tmp_path / "data")
        assert (listed.role, listed.pid, listed.admin_port) == ("up", up.process.pid, up.admin_port)


async def test_the_data_directory_is_private(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        for key in ("link.secret", "guest.key"):
            assert (tmp_path / "data" / key).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("key", ["api.port", "gateway.port"])
async def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, key: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ended = await run_parvis("up", "--data-dir", str(tmp_path / "data"), "--port", "0", "--set", f"{key}={port}")
    assert ended.code == 69
    assert f"cannot listen on 127.0.0.1:{port}" in ended.err
    assert "Traceback" not in ended.err


async def test_a_damaged_journal_is_one_sentence_and_is_left_as_it_is(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with parvis_up(data_dir) as up:
        assert await up.end() == 0
    journal = data_dir / "journal.sqlite"
    damaged = journal.read_bytes()[:4096] + os.urandom(len(journal.read_bytes()) - 4096)
    journal.write_bytes(damaged)
    ended = await run_parvis("up", "--data-dir", str(data_dir), "--port", "0")
    assert ended.code == 65
    assert str(journal) in ended.err
    assert "Traceback" not in ended.err
    assert journal.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"", b"this is no database, it is a letter\n" * 200])
async def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.sqlite").write_bytes(content)
    ended = await run_parvis("up", "--data-dir", str(tmp_path), "--port", "0")
    assert ended.code == 65
    assert "Traceback" not in ended.err
    assert (tmp_path / "journal.sqlite").read_bytes() == content


# /proc takes no files from anybody, root included: a directory that cannot be written, on every machine.
@pytest.mark.parametrize("where", ["/proc/parvis-data", "/proc", "/proc/version"])
async def test_a_place_that_cannot_be_written_is_one_sentence(where: str) -> None:
    ended = await run_parvis("up", "--data-dir", where, "--port", "0")
    assert ended.code == 65
    assert f"the data directory {where}" in ended.err
    assert "Traceback" not in ended.err


async def test_several_processes_cannot_share_a_journal_in_memory(tmp_path: Path) -> None:
    ended = await run_parvis("up", "--data-dir", str(tmp_path), "--shards", "2", "--set", "journal.kind=memory")
    assert ended.code == 78
    assert "journal.kind = memory" in ended.err


def _with_tls(directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments for a certificate that clients of this test believe."""
    files = write_pair(directory)
    monkeypatch.setenv("SSL_CERT_FILE", str(write_authority(directory)))
    return ["--set", f"gateway.tls_certificate={files.certificate}", "--set", f"gateway.tls_key={files.key}"]


@pytest.mark.parametrize("more", [[], ["--gateways", "2"]], ids=["one process", "several"])
async def test_with_a_certificate_everything_says_wss_and_people_talk_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    async with parvis_up(tmp_path / "data", *_with_tls(tmp_path, monkeypatch), *more) as up:
        assert all(url.startswith("wss://") for url in up.websocket_urls)
        config = await fetch(up.page_port, "/config.json")
        assert json.loads(config.body) == {"websocket_urls": up.websocket_urls}
        assert f"connect-src 'self' {up.websocket_urls[0].rstrip('/')}" in config.headers["content-security-policy"]
        async with connect(up.websocket_urls, name="Ada", rng=Random(1), rooms=[ROOM]) as ada:
            await say(ada, ["over TLS"])
        up.process.send_signal(signal.SIGHUP)
        assert await lines_of(up.websocket_urls[-1:], "over TLS") == [(1, "over TLS")]
        assert await up.end() == 0


async def test_a_key_that_everybody_can_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = _with_tls(tmp_path, monkeypatch)
    (tmp_path / "server.key").chmod(0o644)
    ended = await run_parvis("up", "--data-dir", str(tmp_path / "data"), "--port", "0", "--gateways", "2", *words)
    assert ended.code == 78
    assert ended.err.splitlines() == [
        f"parvis: gateway.tls_key {tmp_path}/server.key can be read by every user of this machine; chmod o= {tmp_path}/server.key"
    ]
