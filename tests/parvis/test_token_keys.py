"""parvis/token_keys.py: the file that the settings name, opened or told what is wrong with it."""

from pathlib import Path

import pytest

from parvis.errors import StartError
from parvis.token_keys import examine_token_keys, open_key_file
from runtime.lifecycle import ExitCode
from runtime.schema import TokenSettings
from tests.support.tokens import key_set_text


def named(path: Path) -> TokenSettings:
    return TokenSettings(keys_file=str(path), issuer="https://site.example")


def verdicts(settings: TokenSettings) -> list[str]:
    return [finding.verdict for finding in examine_token_keys(settings)]


def test_without_a_file_everybody_is_a_guest() -> None:
    assert open_key_file(TokenSettings()) is None
    assert verdicts(TokenSettings()) == ["ok"]


def test_a_good_file_is_opened_and_its_keys_are_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set_text("ES256"))
    path.chmod(0o644)
    file = open_key_file(named(path))
    assert file is not None
    assert list(file.keys.by_kid) == ["ES256"]
    (finding,) = examine_token_keys(named(path))
    assert (finding.verdict, "ES256 (ES256)" in finding.what) == ("ok", True)


def test_a_secret_that_others_can_read_is_worth_a_note(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set_text("HS256"))
    path.chmod(0o644)
    assert verdicts(named(path)) == ["ok", "note"]
    path.chmod(0o600)
    assert verdicts(named(path)) == ["ok"]


@pytest.mark.parametrize("text", [None, b"-----BEGIN PUBLIC KEY-----"])
def test_a_file_that_cannot_be_used_is_an_error_with_a_code(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(StartError) as caught:
        open_key_file(named(path))
    assert caught.value.code is ExitCode.DATA
    assert str(path) in str(caught.value)
    assert verdicts(named(path)) == ["bad"]
