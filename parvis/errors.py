"""What can keep a program from running, as one plain sentence and an exit code.

Errors of the world that a role lets through are told without a traceback; anything else
is a bug, leaves as it is, and ends with exit code 1.
"""

import sys
from collections.abc import Iterator

from broker.journal.backup_format import BackupRefused
from broker.journal.fill import SourceInUse, TargetRefused
from broker.journal.protocol import JournalCorrupt, StaleMap, Unavailable
from runtime.certificates import CertificateError
from runtime.lifecycle import ExitCode
from runtime.settings import SettingsError
from shard_router.joining import NameTaken, OtherCluster


class StartError(Exception):
    """Something that was asked for cannot be done; the message is the sentence, `code` the exit code."""

    def __init__(self, sentence: str, code: ExitCode) -> None:
        super().__init__(sentence)
        self.code = code


def tell(error: StartError) -> ExitCode:
    """Say it, one line a sentence."""
    for line in str(error).splitlines():
        print(f"parvis: {line}", file=sys.stderr)
    return error.code


def explain(error: BaseException) -> StartError | None:
    """The sentence and code of an error, or of a group in which every error has one; None for a bug."""
    told = [_explain_one(leaf) for leaf in _leaves(error)]
    known = [each for each in told if each is not None]
    return known[0] if known and len(known) == len(told) else None


def _explain_one(error: BaseException) -> StartError | None:
    match error:
        case StartError():
            return error
        case SettingsError() | CertificateError():
            return StartError(str(error), ExitCode.CONFIG)
        case NameTaken():
            return StartError(str(error), ExitCode.BUSY)
        case OtherCluster():
            return StartError(str(error), ExitCode.CONFIG)
        case JournalCorrupt() | StaleMap() | TargetRefused() | BackupRefused():
            return StartError(str(error), ExitCode.DATA)
        case SourceInUse():
            return StartError(str(error), ExitCode.BUSY)
        case Unavailable():
            return StartError(str(error), ExitCode.UNAVAILABLE)
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
