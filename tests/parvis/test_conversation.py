"""Two browsers and a terminal's client talk in one room, across a restart, without losing or repeating a line."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random

import psutil
import pytest
import trio
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By

from client.client import connect
from tests.parvis.test_many_processes import is_ready
from tests.support.browser import Window, window
from tests.support.parvis_program import parvis_up
from tests.support.talk import ROOM, read_lines, say
from tests.support.tls import spki_of, write_pair

on_a_thread = trio.to_thread.run_sync

WATCH_STATE = """
window.states = [];
const state = document.getElementById("state");
const changes = new MutationObserver(() => window.states.push(state.textContent));
changes.observe(state, { childList: true, characterData: true, subtree: true });
"""

AGREED_EXTENSIONS = """
const [url, done] = arguments;
const socket = new WebSocket(url, "parvis.v1.json");
socket.onopen = () => { done(socket.extensions); socket.close(); };
socket.onerror = () => done("the socket did not open");
"""


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Window, Window]]:
    """Two people's windows; starting Chromium takes longer than any test here."""
    with ExitStack() as stack:
        profiles = [tmp_path_factory.mktemp(name) for name in ("amelie", "bertrand")]
        amelie, bertrand = (stack.enter_context(window(profile)) for profile in profiles)
        yield amelie, bertrand


async def test_a_conversation_across_a_restart(tmp_path: Path, windows: tuple[Window, Window]) -> None:
    amelie, bertrand = windows
    lines = ["Bonjour!", "Good evening, Amélie.", "A terminal is here too.", "<b>no markup</b>"]
    async with parvis_up(tmp_path / "data") as up:
        page, urls = f"http://localhost:{up.page_port}/", up.websocket_urls
        await on_a_thread(amelie.enter, page, "Amélie", ROOM)
        await on_a_thread(bertrand.enter, f"http://127.0.0.1:{up.page_port}/", "Bertrand", ROOM)
        async with connect(urls, name="Cy", rng=Random(3), rooms=[ROOM]) as terminal:
            await on_a_thread(amelie.say, lines[0])
            await on_a_thread(bertrand.wait_lines, lines[:1])
            await on_a_thread(bertrand.say, lines[1])
            await on_a_thread(amelie.wait_lines, lines[:2])
            await say(terminal, [lines[2]])
            await on_a_thread(bertrand.wait_lines, lines[:3])
            await on_a_thread(bertrand.say, lines[3])
            for person in windows:
                await on_a_thread(person.wait_lines, lines)
                await on_a_thread(person.wait, partial(_counts_three, person), "three people are here")
            seen = await read_lines(terminal, lines[3])

            assert await up.end() == 0
            await on_a_thread(amelie.say, "said while nobody listens")
            assert await on_a_thread(amelie.waiting) == ["said while nobody listens"]
            async with parvis_up(tmp_path / "data", ports=up.same_ports) as again:
                lines.append("said while nobody listens")
                seen += await read_lines(terminal, lines[4])
                await on_a_thread(bertrand.wait_lines, lines)
                await on_a_thread(bertrand.say, "welcome back")
                lines.append("welcome back")
                seen += await read_lines(terminal, lines[5])
                for person in windows:
                    await on_a_thread(person.wait_lines, lines)
                    await on_a_thread(person.wait_state, "Connected")
                    assert await on_a_thread(person.waiting) == []
                    assert await on_a_thread(person.remarks) == []
                    assert await on_a_thread(person.faults) == []
                assert await again.end() == 0
    assert seen == list(enumerate(lines, 1))


def _counts_three(person: Window) -> bool:
    return person.text_of("count") == "3 here"


async def test_a_rolling_restart_of_the_gateways_is_not_noticed(tmp_path: Path, windows: tuple[Window, Window]) -> None:
    amelie, bertrand = windows
    async with parvis_up(tmp_path / "data", "--gateways", "2") as up:
        for person, name in ((amelie, "Amélie"), (bertrand, "Bertrand")):
            await on_a_thread(person.enter, f"http://127.0.0.1:{up.page_port}/", name, ROOM)
            await on_a_thread(person.driver.execute_script, WATCH_STATE)
        lines = ["one"]
        await on_a_thread(amelie.say, "one")
        await on_a_thread(bertrand.wait_lines, lines)
        for gateway in [each for each in psutil.Process(up.process.pid).children() if "gateway" in each.cmdline()]:
            gateway.terminate()
            lines.append(f"said while {gateway.pid} leaves")
            await on_a_thread(bertrand.say, lines[-1])
            await on_a_thread(amelie.wait_lines, lines)
            await on_a_thread(gateway.wait, 30)
            # As whoever restarts one after the other does: the next one leaves when this one is back.
            with trio.fail_after(30):
                while not await is_ready(up):
                    await trio.sleep(0.05)
        for person in windows:
            await on_a_thread(person.wait_lines, lines)
            assert await on_a_thread(person.remarks) == []
            assert set(await on_a_thread(person.driver.execute_script, "return window.states")) <= {"Connected"}


async def test_a_browser_with_compression_and_a_terminal_without_talk(tmp_path: Path, windows: tuple[Window, Window]) -> None:
    amelie, bertrand = windows
    lines = ["short", ("so oft gesagt, so oft gehört, " * 12).strip(), ("Zürich, Genève, Lugano: " * 15).strip()]
    async with parvis_up(tmp_path / "data", "--set", "gateway.deflate=true") as up:
        page, urls = f"http://127.0.0.1:{up.page_port}/", up.websocket_urls
        for person, name in ((amelie, "Amélie"), (bertrand, "Bertrand")):
            await on_a_thread(person.enter, page, name, ROOM)
        agreed = await on_a_thread(amelie.driver.execute_async_script, AGREED_EXTENSIONS, urls[0])
        assert agreed == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        async with connect(urls, name="Cy", rng=Random(3), rooms=[ROOM]) as terminal:
            await on_a_thread(amelie.say, lines[0])
            await on_a_thread(bertrand.say, lines[1])
            await on_a_thread(amelie.wait_lines, lines[:2])
            await say(terminal, [lines[2]])
            for person in windows:
                await on_a_thread(person.wait_lines, lines)
                assert await on_a_thread(person.faults) == []
            seen = await read_lines(terminal, lines[2])
        assert [text for _, text in seen] == lines


async def test_a_line_can_be_edited_and_removed_by_its_author(tmp_path: Path, windows: tuple[Window, Window]) -> None:
    amelie, bertrand = windows
    async with parvis_up(tmp_path / "data") as up:
        for person, name in ((amelie, "Amélie"), (bertrand, "Bertrand")):
            await on_a_thread(person.enter, f"http://127.0.0.1:{up.page_port}/", name, ROOM)
        for line in ("first", "second"):
            await on_a_thread(amelie.say, line)
        await on_a_thread(bertrand.wait_lines, ["first", "second"])
        await on_a_thread(amelie.act, "first", "edit")
        await on_a_thread(amelie.say, ", and better")
        await on_a_thread(bertrand.wait_lines, ["first, and better", "second"])
        await on_a_thread(amelie.act, "second", "delete")
        await on_a_thread(amelie.driver.switch_to.alert.accept)
        for person in windows:
            await on_a_thread(person.wait_lines, ["first, and better", "removed"])
        # Who comes later, and who loads the page again, is shown the same.
        await on_a_thread(bertrand.enter, f"http://127.0.0.1:{up.page_port}/", "Bertrand", ROOM)
        await on_a_thread(bertrand.wait_lines, ["first, and better", "removed"])


async def test_a_refusal_is_a_sentence_and_the_text_is_not_lost(tmp_path: Path, windows: tuple[Window, Window]) -> None:
    amelie, _ = windows
    async with parvis_up(tmp_path / "data") as up:
        await on_a_thread(amelie.enter, f"http://127.0.0.1:{up.page_port}/", "Amélie", ROOM)
        too_long = "word " * 110
        await on_a_thread(amelie.say, too_long)
        await on_a_thread(amelie.wait, lambda: "too long" in amelie.text_of("notice"), "the refusal's sentence")
        kept = await on_a_thread(amelie.driver.execute_script, "return document.getElementById('text').value")
        assert kept == too_long.strip()
        assert await on_a_thread(amelie.lines) == []
        assert await on_a_thread(amelie.waiting) == []


async def test_a_room_that_cannot_be_is_told_at_the_door(tmp_path: Path, windows: tuple[Window, Window]) -> None:
    amelie, _ = windows
    async with parvis_up(tmp_path / "data", "--set", "rooms.namespaces=square") as up:
        await on_a_thread(amelie.enter, f"http://127.0.0.1:{up.page_port}/", "Amélie", "main")
        assert await on_a_thread(amelie.text_of, "title") == ROOM
        with pytest.raises(TimeoutException):
            await on_a_thread(amelie.enter, f"http://127.0.0.1:{up.page_port}/", "Amélie", "cellar/main", "Connected", 3)
        assert await on_a_thread(amelie.text_of, "state") == "There are no rooms in this namespace."


async def test_the_page_keeps_five_hundred_lines_and_the_readers_place(tmp_path: Path, windows: tuple[Window, Window]) -> None:
    amelie, _ = windows
    fast = ["--set", "gateway.publish_rate_per_s=10000", "--set", "gateway.publish_burst=10000"]
    async with parvis_up(tmp_path / "data", *fast) as up:
        await on_a_thread(amelie.enter, f"http://127.0.0.1:{up.page_port}/", "Amélie", ROOM)
        async with connect(up.websocket_urls, name="Cy", rng=Random(3), rooms=[ROOM]) as cy:
            await say(cy, [f"line {n}" for n in range(100)])
            await on_a_thread(amelie.wait, lambda: amelie.lines()[-1:] == ["line 99"], "the first hundred")
            await on_a_thread(amelie.wait, lambda: amelie.scroll_gap() < 5, "it follows the newest line")
            await on_a_thread(amelie.scroll_to, 100)
            await say(cy, [f"line {n}" for n in range(100, 130)])
            await on_a_thread(amelie.wait, lambda: amelie.lines()[-1:] == ["line 129"], "thirty more")
            assert await on_a_thread(amelie.text_of, "unread") == "30 new ↓"
            assert await on_a_thread(amelie.scroll_gap) > 500
            await on_a_thread(amelie.driver.find_element(By.ID, "unread").click)
            await on_a_thread(amelie.wait, lambda: amelie.scroll_gap() < 5, "back to the newest line")
            await say(cy, [f"line {n}" for n in range(130, 620)])
            await on_a_thread(amelie.wait, lambda: amelie.lines()[-1:] == ["line 619"], "all of them")
        assert await on_a_thread(amelie.lines) == [f"line {n}" for n in range(120, 620)]


async def test_a_page_talks_to_a_gateway_over_wss(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A window of its own, which believes a certificate of ours: Chromium has no other place to be told of an authority."""
    files = write_pair(tmp_path)
    tls = ["--set", f"gateway.tls_certificate={files.certificate}", "--set", f"gateway.tls_key={files.key}"]
    believes = f"--ignore-certificate-errors-spki-list={spki_of(files)}"
    with window(tmp_path_factory.mktemp("chloe"), believes) as chloe:
        async with parvis_up(tmp_path / "data", *tls) as up:
            await on_a_thread(chloe.enter, f"http://localhost:{up.page_port}/", "Chloé", ROOM)
            await on_a_thread(chloe.say, "over TLS")
            await on_a_thread(chloe.wait_lines, ["over TLS"])
            assert chloe.faults() == []
            assert await up.end() == 0
