"""parvis/options.py: settings from a command line."""

from pathlib import Path

import pytest

from parvis.errors import StartError
from parvis.options import read_settings
from runtime.lifecycle import ExitCode
from runtime.settings import SettingsError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PARVIS_CONFIG", "PARVIS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_a_setting_is_read_by_its_type() -> None:
    settings = read_settings(None, ["gateway.port=9000", "gateway.origins=http://a.example,http://b.example"]).settings
    assert settings.gateway.port == 9000
    assert settings.gateway.origins == ["http://a.example", "http://b.example"]


def test_a_set_wins_over_a_flag_and_a_flag_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "parvis.toml"
    file.write_text("[api]\nport = 1\n[gateway]\nport = 2\n")
    loaded = read_settings(file, ["gateway.port=30"], flags={"api.port": 10, "gateway.port": 20})
    assert (loaded.settings.api.port, loaded.settings.gateway.port) == (10, 30)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parvis.toml").write_text("[api]\nport = 1\n")
    monkeypatch.setenv("PARVIS_CONFIG", str(tmp_path / "parvis.toml"))
    loaded = read_settings(None, [], data_dir=Path("elsewhere"))
    assert loaded.settings.api.port == 1
    assert loaded.settings.data_dir == "elsewhere"


def test_a_set_without_a_value_is_told() -> None:
    with pytest.raises(StartError, match="--set takes key=value") as told:
        read_settings(None, ["gateway.port"])
    assert told.value.code == ExitCode.USAGE


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"did you mean gateway\.port"):
        read_settings(None, ["gateway.prt=1"])
