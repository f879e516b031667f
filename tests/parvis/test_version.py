"""parvis/version.py: one version, written down once."""

import pytest

from parvis import VERSION
from parvis.version import version
from tests.support.tree import ROOT
from wire.client_messages import PROTOCOL_VERSION
from wire.node_messages import LINK_VERSION


def test_it_says_program_protocols_and_python(capsys: pytest.CaptureFixture[str]) -> None:
    version()
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"parvis {VERSION} (client protocol {PROTOCOL_VERSION}, link protocol {LINK_VERSION})"
    assert second.startswith("Python 3.")


def test_the_changelog_begins_with_this_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0].startswith(f"## {VERSION}")
