"""parvis/places.py: what the words for a journal mean, and who is kept out."""

from contextlib import closing
from pathlib import Path

import pytest

from broker.journal.protocol import JournalCorrupt
from parvis.data_dir import LOCK_NAME, lock_data_dir
from parvis.errors import StartError
from parvis.places import RedisPlace, SqlitePlace, held, place_of, place_of_settings
from runtime.lifecycle import ExitCode
from runtime.schema import ClusterSettings, JournalSettings, RedisSettings, Settings
from runtime.settings import SettingsError

SETTINGS = Settings(data_dir="data")


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("sqlite:some/where.sqlite", SqlitePlace(Path("some/where.sqlite"), Path("some"))),
        ("sqlite:here.sqlite", SqlitePlace(Path("here.sqlite"), Path("."))),
        ("sqlite", SqlitePlace(Path("data/journal.sqlite"), Path("data"))),
    ],
)
def test_words_name_a_place(words: str, place: SqlitePlace) -> None:
    assert place_of(words, SETTINGS) == place
    assert str(place) == f"sqlite:{place.path}"


def test_the_settings_may_have_the_file_elsewhere_than_the_lock() -> None:
    settings = Settings(data_dir="data", journal=JournalSettings(path="fast/disk.sqlite"))
    assert place_of_settings(settings) == SqlitePlace(Path("fast/disk.sqlite"), Path("data"))


@pytest.mark.parametrize(
    "words",
    ["redis://10.0.0.5:6379/0", "rediss://10.0.0.5:6379/0", "unix:///run/redis.sock", "redis+sentinel://a:1,b:2/main", "redis+cluster://a:1"],
)
def test_an_address_of_a_redis_is_the_journal_of_the_settings_cluster_there(words: str) -> None:
    settings = Settings(redis=RedisSettings(timeout_s=7.0), cluster=ClusterSettings(name="chat"))
    place = place_of(words, settings)
    assert isinstance(place, RedisPlace)
    assert (place.settings.redis.url, place.settings.redis.timeout_s, place.settings.cluster.name) == (words, 7.0, "chat")
    assert str(place) == f"{words} (cluster chat)"
    assert place.data_dir is None
    assert place == place_of_settings(place.settings) == place_of("redis", place.settings)


def test_an_address_that_is_none_is_refused_as_the_setting_is() -> None:
    for words in ("redis", "redis://", "redis://user:secret@host/0"):
        with pytest.raises(SettingsError, match=r"redis\.url"):
            place_of(words, SETTINGS)


@pytest.mark.parametrize("words", ["", "sqlite:", "journal.sqlite", "postgres://here", "memory", "http://here"])
def test_words_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(StartError, match="a journal is sqlite:PATH, or a redis:// address") as refused:
        place_of(words, SETTINGS)
    assert refused.value.code is ExitCode.USAGE


def test_a_journal_in_memory_is_nowhere() -> None:
    with pytest.raises(StartError, match="ends with its process") as refused:
        place_of_settings(Settings(journal=JournalSettings(kind="memory")))
    assert refused.value.code is ExitCode.CONFIG


def test_a_place_is_opened_in_three_ways(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path / "journal.sqlite", tmp_path)
    with pytest.raises(JournalCorrupt, match="there is none"):
        place.source()
    with closing(place.target()) as target:
        assert not target.has_rooms()
    with closing(place.journal()) as journal, closing(place.source()) as source:
        assert journal.store_id == source.store_id


def test_directories_in_use_are_refused_and_others_are_held(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    lock = lock_data_dir(old)
    with pytest.raises(StartError, match="in use by the parvis"), held([old], new=new):
        pytest.fail("a parvis is in there")
    lock.close()
    with held([old, None], new=new):
        for directory in (old, new):
            with pytest.raises(StartError) as refused:
                lock_data_dir(directory)
            assert refused.value.code is ExitCode.BUSY
    for directory in (old, new):
        lock_data_dir(directory).close()


def test_a_directory_that_no_parvis_used_is_left_as_it_is(tmp_path: Path) -> None:
    with held([tmp_path]):
        assert not (tmp_path / LOCK_NAME).exists()


def test_two_journals_in_one_directory_are_held_once(tmp_path: Path) -> None:
    lock_data_dir(tmp_path).close()
    with held([tmp_path], new=tmp_path):
        assert (tmp_path / LOCK_NAME).exists()
