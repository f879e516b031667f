"""parvis/parts.py: what a process gives to its roles."""

from pathlib import Path

import pytest
import structlog
import trio
from structlog.testing import capture_logs

from broker.journal.memory import MemoryJournal
from broker.journal.protocol import JournalCorrupt
from broker.journal.redis import RedisJournal
from broker.journal.sqlite import SqliteJournal
from parvis.errors import StartError
from parvis.parts import Host, address_is_free, journal_path, open_journal, opened_journal, show_store
from runtime.lifecycle import ExitCode, Lifecycle
from runtime.logs import make_logger
from runtime.metrics import BrokerCounters
from runtime.schema import ClusterSettings, JournalSettings, LogSettings, RedisSettings, Settings
from tests.support.redis_server import redis_server


def host_with(settings: Settings) -> Host:
    return Host(settings, Lifecycle(), make_logger(LogSettings(level="error")))


def test_the_journal_lies_in_the_data_directory_unless_it_is_named() -> None:
    assert journal_path(Settings(data_dir="data")) == Path("data/journal.sqlite")
    assert journal_path(Settings(journal=JournalSettings(path="/srv/j.sqlite"))) == Path("/srv/j.sqlite")


def test_the_settings_choose_the_engine(tmp_path: Path) -> None:
    assert isinstance(open_journal(Settings(journal=JournalSettings(kind="memory"))), MemoryJournal)
    journal = open_journal(Settings(data_dir=str(tmp_path), journal=JournalSettings(synchronous="normal")))
    assert isinstance(journal, SqliteJournal)
    journal.close()


def test_a_journal_in_redis_is_that_of_the_clusters_name(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        redis = RedisSettings(url=server.url)
        journals = [
            open_journal(Settings(journal=JournalSettings(kind="redis"), redis=redis, cluster=ClusterSettings(name=name)))
            for name in ("one", "one", "other")
        ]
        assert all(isinstance(journal, RedisJournal) for journal in journals)
        assert journals[0].store_id == journals[1].store_id != journals[2].store_id
        for journal in journals:
            journal.close()


async def test_what_a_crash_of_the_store_would_cost_is_logged_and_shown(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--appendonly", "yes") as server:
        settings = Settings(journal=JournalSettings(kind="redis"), redis=RedisSettings(url=server.url))
        counters = BrokerCounters()
        with capture_logs() as lines:
            async with opened_journal(Host(settings, Lifecycle(), structlog.get_logger())) as opened:
                show_store(counters, settings, opened.journal)
        (line,) = lines
        assert (line["event"], line["appendonly"], line["appendfsync"]) == ("journal_store", True, "everysec")
        assert counters.journal_store == {"kind": "redis", "appendonly": "yes", "appendfsync": "everysec"}
        assert counters.journal_replicas() == 0


async def test_the_journal_is_closed_after_its_last_job(tmp_path: Path) -> None:
    async with opened_journal(host_with(Settings(data_dir=str(tmp_path)))) as opened:
        assert opened.newest_map_version == 0
        await opened.lane(lambda: opened.journal.claim([], 5, "somebody"), deadline_s=None)
    # The last one to close a SQLite journal removes the write-ahead log.
    assert {path.name for path in tmp_path.iterdir()} == {"journal.sqlite"}
    async with opened_journal(host_with(Settings(data_dir=str(tmp_path)))) as again:
        assert again.newest_map_version == 5


async def test_a_journal_that_cannot_be_opened_leaves_no_thread_waiting(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"letters" * 1000)
    with pytest.raises(JournalCorrupt):
        async with opened_journal(host_with(Settings(data_dir=str(tmp_path)))):
            pytest.fail("it must not open")


def test_keys_are_shared_by_all_roles_of_a_directory(tmp_path: Path) -> None:
    first, second = (host_with(Settings(data_dir=str(tmp_path))) for _ in range(2))
    assert first.link_secrets() == second.link_secrets()
    assert first.guest_key() == second.guest_key()
    named = host_with(Settings(data_dir=str(tmp_path), cluster=ClusterSettings(secret_file=str(tmp_path / "other"))))
    assert named.link_secrets() != first.link_secrets()


async def test_an_address_that_is_taken_becomes_a_sentence() -> None:
    with pytest.raises(StartError, match="cannot listen on x: in use") as told:
        async with address_is_free():
            raise OSError(98, "cannot listen on x: in use")
    assert told.value.code == ExitCode.UNAVAILABLE
    await trio.lowlevel.checkpoint()
