"""parvis/check.py: would it start?"""

import os
import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

import parvis.check
from broker.journal.sqlite import SqliteJournal
from parvis.check import examine, settings_lines
from parvis.data_dir import lock_data_dir
from parvis.options import read_settings
from runtime.certificates import PairFiles
from runtime.lifecycle import ExitCode
from runtime.schema import ApiSettings, GatewaySettings, JournalSettings, Settings
from tests.broker.journal.test_sqlite_file import before_tables
from tests.support.parvis_program import parvis_up, run_parvis
from tests.support.tls import write_pair


def settings_for(data_dir: Path, **sections: msgspec.Struct) -> Settings:
    """Settings that need no port and few descriptors, so that only what a test is about can be wrong."""
    small = GatewaySettings(port=0, connections_max=50, connections_soft_max=50, handshakes_pending_max=5)
    free = {"api": ApiSettings(port=0), "gateway": small}
    return msgspec.structs.replace(Settings(data_dir=str(data_dir)), **{**free, **sections})


def found(settings: Settings) -> list[tuple[str, ExitCode]]:
    return [(finding.verdict, finding.code) for finding in examine(settings) if finding.verdict != "ok"]


async def test_a_directory_that_was_used_is_found_good_and_left_as_it_is(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with parvis_up(data_dir) as up:
        assert found(settings_for(data_dir))[0] == ("bad", ExitCode.BUSY)
        assert await up.end() == 0
    before = {path.name: path.read_bytes() for path in data_dir.iterdir()}
    assert found(settings_for(data_dir)) == []
    assert {path.name: path.read_bytes() for path in data_dir.iterdir()} == before


def test_a_journal_of_an_older_format_is_found_good_and_left_to_its_program(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    SqliteJournal(path, new_store_id="store").close()
    before_tables(path)
    before = path.read_bytes()
    sentences = [finding.what for finding in examine(settings_for(tmp_path)) if finding.verdict == "ok"]
    assert f"journal {path} opens; slot map 0" in sentences
    assert path.read_bytes() == before


def test_a_directory_that_is_not_there_is_fine_and_stays_so(tmp_path: Path) -> None:
    assert found(settings_for(tmp_path / "data")) == []
    assert not (tmp_path / "data").exists()


def test_a_file_in_the_directorys_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    assert found(settings_for(tmp_path / "data")) == [("bad", ExitCode.DATA)]


def test_a_directory_in_use_is_found(tmp_path: Path) -> None:
    lock = lock_data_dir(tmp_path)
    assert ("bad", ExitCode.BUSY) in found(settings_for(tmp_path))
    lock.close()


def test_a_damaged_journal_and_a_short_key_are_found(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database at all" * 500)
    (tmp_path / "guest.key").write_bytes(b"short")
    assert found(settings_for(tmp_path)) == [("bad", ExitCode.DATA), ("bad", ExitCode.DATA)]


def test_a_key_that_others_can_read_is_noted(tmp_path: Path) -> None:
    key = tmp_path / "link.secret"
    key.write_bytes(b"k" * 32)
    os.chmod(key, 0o644)
    assert found(settings_for(tmp_path)) == [("note", ExitCode.OK)]


def test_a_directory_that_others_can_look_into_is_noted(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert found(settings_for(tmp_path)) == [("note", ExitCode.OK)]


def test_a_journal_in_memory_is_noted(tmp_path: Path) -> None:
    assert found(settings_for(tmp_path, journal=JournalSettings(kind="memory"))) == [("note", ExitCode.OK)]


def test_a_port_that_is_taken_is_found(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        assert found(settings_for(tmp_path, api=ApiSettings(port=port))) == [("bad", ExitCode.UNAVAILABLE)]


def test_a_limit_of_descriptors_that_is_too_low_for_the_connections_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parvis.check.resource, "getrlimit", lambda _: (256, 1024))
    (low,) = [each for each in examine(Settings()) if "file descriptors" in each.what]
    assert low.verdict == "note"
    assert "1024 file descriptors holds gateway.connections_max 15000 to 721 a process" in low.what
    monkeypatch.setattr(parvis.check.resource, "getrlimit", lambda _: (256, 20_000))
    (enough,) = [each for each in examine(Settings()) if "file descriptors" in each.what]
    assert enough.verdict == "ok"


def test_settings_are_told_with_where_they_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARVIS_GATEWAY__PORT", "9001")
    loaded = read_settings(None, ["api.port=9000"])
    lines = list(settings_lines(loaded, show_all=False))
    assert [line.split() for line in lines] == [
        ["gateway.port", "=", "9001", "(environment", "PARVIS_GATEWAY__PORT)"],
        ["api.port", "=", "9000", "(flag", "api.port)"],
    ]
    assert len(list(settings_lines(loaded, show_all=True))) > 30


async def test_the_command_answers_with_the_code_of_a_start(tmp_path: Path) -> None:
    ports = ["--set", "api.port=0", "--set", "gateway.port=0"]
    good = await run_parvis("check", "--data-dir", str(tmp_path), *ports)
    assert good.code == 0
    assert f"ok   data directory {tmp_path}" in good.out
    (tmp_path / "journal.sqlite").write_bytes(b"no database at all" * 500)
    bad = await run_parvis("check", "--data-dir", str(tmp_path), *ports)
    assert bad.code == ExitCode.DATA
    assert "bad  journal" in bad.out


def gateway_with(files: PairFiles) -> GatewaySettings:
    small = GatewaySettings(port=0, connections_max=50, connections_soft_max=50, handshakes_pending_max=5)
    return msgspec.structs.replace(small, tls_certificate=str(files.certificate), tls_key=str(files.key))


def test_a_certificate_is_looked_into(tmp_path: Path) -> None:
    files = write_pair(tmp_path, "chat.example.org", not_after=datetime.now(UTC) + timedelta(days=30, hours=1))
    settings = settings_for(tmp_path / "data", gateway=gateway_with(files))
    assert found(settings) == []
    assert f"certificate {files.certificate} for chat.example.org is valid for 30 days more" in {
        finding.what for finding in examine(settings)
    }
    files.key.chmod(0o644)
    assert found(settings) == [("bad", ExitCode.CONFIG)]


def test_an_expired_certificate_is_noted(tmp_path: Path) -> None:
    files = write_pair(tmp_path, not_after=datetime.now(UTC) - timedelta(days=1))
    assert found(settings_for(tmp_path / "data", gateway=gateway_with(files))) == [("note", ExitCode.OK)]
