"""`parvis chat` through a real gateway, shard and journal, in both forms and across a restart of the gateway."""

import io
from random import Random

import trio

from parvis.chat import chat
from parvis.chat_terminal import Pipe
from runtime.lifecycle import ExitCode
from tests.support.cluster import cluster
from tests.support.people import ROOM, person


async def said(url: str, name: str, lines: str, *, json: bool = False) -> tuple[int, str, str]:
    """One script's talk: its exit code, what it read, its complaints."""
    target, complaints = io.StringIO(), io.StringIO()
    screen = Pipe(io.StringIO(lines), target, complaints)
    with trio.fail_after(30):
        code = await chat(ROOM, name, urls=[url], json=json, rng=Random(name), screen=screen)
    return code, target.getvalue(), complaints.getvalue()


async def test_scripts_in_both_forms_and_a_person_read_each_other() -> None:
    async with cluster() as play, person("Ada", [play.gateways["gateway-1"].url]) as ada:
        url = play.gateways["gateway-1"].url
        code, read, complaints = await said(url, "Bob", "hello from Bob\n/edit 1 good evening from Bob\nbye\n/delete 3\n")
        assert (code, complaints) == (ExitCode.OK, "")
        assert "#1 Bob (you) (edited): good evening from Bob" in read
        assert "#3 by Bob (you) was removed" in read
        code, read, complaints = await said(url, "Eve", "hello from Eve\n", json=True)
        assert (code, complaints) == (ExitCode.OK, "")
        assert "#1 Bob: hello from Bob" in read
        assert "bye" not in read
        assert "Eve (you): hello from Eve" in read
        await ada.wait_for_text("hello from Eve")


async def test_only_the_author_may_edit_and_the_script_fails_with_a_sentence() -> None:
    async with cluster() as play:
        url = play.gateways["gateway-1"].url
        await said(url, "Bob", "mine\n")
        code, _, complaints = await said(url, "Eve", "/edit 1 not yours\n")
        assert code == 1
        assert complaints == "! your edit was refused: Only the author of a message may do this.\n"
