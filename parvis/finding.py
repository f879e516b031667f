"""What `parvis check` has found out about one thing."""

from dataclasses import dataclass
from typing import Literal

from runtime.lifecycle import ExitCode

Verdict = Literal["ok", "note", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `code` is what a start would end with, for `bad` ones."""

    verdict: Verdict
    what: str
    code: ExitCode = ExitCode.OK
