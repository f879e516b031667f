"""parvis/version.py: one version, written down once."""

import pytest

from parvis import VERSION
from parvis.version import version
from tests.support.tree import ROOT


def test_it_says_program_protocols_and_python(capsys: pytest.CaptureFixture[str]) -> None:
    version()
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"parvis {VERSION} (client protocol 1, link protocol 1)"
    assert second.startswith("Python 3.")


def test_the_changelog_begins_with_this_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0].startswith(f"## {VERSION}")
