"""parvis/errors.py: what is told in a sentence, and what stays a bug."""

import pytest

from broker.journal.protocol import JournalCorrupt, StaleMap, Unavailable
from parvis.errors import StartError, explain, tell
from runtime.certificates import CertificateError
from runtime.lifecycle import ExitCode
from runtime.settings import SettingsError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StartError("taken", ExitCode.UNAVAILABLE), ExitCode.UNAVAILABLE),
        (SettingsError(["one", "two"]), ExitCode.CONFIG),
        (CertificateError("no key"), ExitCode.CONFIG),
        (JournalCorrupt("damaged"), ExitCode.DATA),
        (StaleMap(1, 2), ExitCode.DATA),
        (Unavailable("locked"), ExitCode.UNAVAILABLE),
    ],
)
def test_an_error_of_the_world_has_a_code_alone_or_in_groups(error: Exception, code: ExitCode) -> None:
    for each in (error, ExceptionGroup("nursery", [ExceptionGroup("nursery", [error])])):
        told = explain(each)
        assert told is not None
        assert (str(told), told.code) == (str(error), code)


def test_a_bug_is_not_explained_away_not_even_beside_a_known_error() -> None:
    assert explain(KeyError("x")) is None
    assert explain(ExceptionGroup("nursery", [StartError("taken", ExitCode.DATA), ZeroDivisionError()])) is None


def test_each_sentence_is_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    told = explain(SettingsError(["one", "two"]))
    assert told is not None
    assert tell(told) == ExitCode.CONFIG
    assert capsys.readouterr().err == "parvis: one\nparvis: two\n"
