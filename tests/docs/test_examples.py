"""Examples in documents are run: Python against a parvis that is up, JavaScript by a browser that reads it."""

import ast
import re
import sys
from pathlib import Path

import pytest
import trio

from tests.support.browser import window
from tests.support.parvis_program import parvis_up
from tests.support.tree import ROOT, our_files

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PAGES = [path for path in our_files() if path.suffix == ".md"]
_IMPORT = """
const done = arguments[1];
const url = URL.createObjectURL(new Blob([arguments[0]], { type: "text/javascript" }));
import(url).then(() => done(""), (error) => done(String(error)));
"""


def examples(language: str, folder: str = "") -> list[tuple[str, str]]:
    """Page and text of every example in one language, in all pages or in those of one folder."""
    pages = [path for path in _PAGES if str(path).startswith(folder)]
    return [(str(path), text) for path in pages for found, text in _FENCE.findall((ROOT / path).read_text()) if found == language]


async def test_python_examples_run(tmp_path: Path) -> None:
    whole = [*examples("python", "docs/"), *examples("python", "README")]
    assert whole, "there is one in docs/quickstart.md at least"
    async with parvis_up(tmp_path / "data") as up:
        for page, text in whole:
            program = text.replace("ws://127.0.0.1:8001", up.websocket_urls[0].rstrip("/"))
            with trio.fail_after(60):
                ended = await trio.run_process(
                    [sys.executable, "-c", program], capture_stdout=True, capture_stderr=True, check=False, cwd=ROOT
                )
            assert ended.returncode == 0, f"{page}: {ended.stderr.decode()}"


@pytest.mark.parametrize(("page", "text"), examples("python"))
def test_python_fragments_are_python(page: str, text: str) -> None:
    # A folder's page may show a few lines out of their surroundings.
    compile(text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_javascript_examples_are_javascript(tmp_path: Path) -> None:
    assert examples("js"), "there is one in docs/protocol.md at least"
    with window(tmp_path / "profile") as browser:
        for page, text in examples("js"):
            fault = browser.driver.execute_async_script(_IMPORT, text)
            # Names of the page around an example are not there; that it could be read is what counts.
            assert "SyntaxError" not in fault, f"{page}: {fault}"


@pytest.mark.parametrize("path", _PAGES, ids=str)
def test_every_fence_is_closed(path: Path) -> None:
    fences = [line for line in (ROOT / path).read_text().splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0
