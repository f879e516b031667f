"""The live page in a real browser: figures, charts, tables, and a run that is started, edited and stopped with it."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from loadtest.figures.record import ExceptionRecord
from loadtest.master.steering import NotNow
from loadtest.web.downloads import Download
from loadtest.web.web import access_for, serve_web
from runtime.http_server import listen
from tests.support.browser import DEADLINE_S, Window, window
from tests.support.charts import painted
from tests.support.steered_run import LOST, SteeredRun

on_a_thread = trio.to_thread.run_sync
DOWNLOADS = {"run.json": Download("application/json", "Everything, for programs.", lambda record: "{}")}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Window]:
    with window(tmp_path / "profile") as opened:
        yield opened


def serve(nursery: trio.Nursery, run: SteeredRun) -> str:
    sock = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    nursery.start_soon(partial(serve_web, sock, run, access_for("127.0.0.1", None), DOWNLOADS, wait_end=trio.sleep_forever))
    return url


def text(browser: Window, selector: str) -> str:
    return str(browser.driver.execute_script("return document.querySelector(arguments[0]).innerText", selector))


def see(browser: Window, selector: str, holds: Callable[[str], bool], what: str) -> None:
    """Wait until a text of the page is as it should be."""
    WebDriverWait(browser.driver, DEADLINE_S, poll_frequency=0.05).until(
        lambda _: holds(text(browser, selector)), f"waited for {what}; {selector} says {text(browser, selector)!r}"
    )


def see_charts(browser: Window, *charts: str) -> None:
    """Wait until these are painted."""
    names = {f"chart-{chart}" for chart in charts}

    def are_painted(_: object) -> bool:
        return names <= {name for name, pixels in painted(browser).items() if pixels > 500}

    WebDriverWait(browser.driver, DEADLINE_S, poll_frequency=0.05).until(are_painted, f"waited for {names}")


async def test_a_run_is_started_watched_edited_and_stopped(nursery: trio.Nursery, browser: Window) -> None:
    run = SteeredRun()
    url = serve(nursery, run)

    def open_and_start() -> None:
        browser.driver.get(url)
        see(browser, "#phase", lambda said: said == "ready", "the run to be ready")
        fill(browser, "users", "1000")
        fill(browser, "spawn", "500")
        browser.driver.find_element(By.ID, "apply").click()
        see(browser, "#phase", lambda said: said == "spawning", "the run to begin")

    await on_a_thread(open_and_start)
    assert (run.standing.users, run.standing.spawn_per_s) == (1000, 500.0)

    run.advance(40)

    def watch_and_edit() -> None:
        see(browser, "#figure-users", lambda said: said == "1,000", "all users")
        see(browser, "#figure-p99", lambda said: said == "24.7ms", "the second's p99")
        see(browser, "#verdict", lambda said: said.startswith("PASS so far"), "the verdict so far")
        see_charts(browser, "users", "deliver", "deliveries", "worker-cpu")
        assert browser.driver.title == "1,000 users, p99 24.7 ms: election_night"
        fill(browser, "users", "2000")
        browser.driver.find_element(By.ID, "users").send_keys(Keys.ENTER)
        see(browser, "#more-users", lambda said: said.startswith("of 1,000"), "nothing before the next second")

    await on_a_thread(watch_and_edit)
    with trio.fail_after(30):
        while run.standing.users != 2000:
            await trio.sleep(0.05)

    run.find(LOST)
    run.advance()

    def see_the_loss_and_stop() -> None:
        see(browser, "#figure-users", lambda said: said == "1,500", "the next second")
        see(browser, "#figure-violations", lambda said: said == "2", "two that are lost")
        see(browser, "#verdict", lambda said: said.startswith("MISS so far"), "the verdict so far")
        browser.driver.find_element(By.ID, "tab-findings").click()
        see(browser, "#findings", lambda said: "square/main" in said and "4711" in said, "where it was lost")
        browser.driver.find_element(By.ID, "stop").click()
        see(browser, "#phase", lambda said: said == "ended", "the end")
        see(browser, "#verdict", lambda said: said.startswith("MISS") and "so far" not in said, "the verdict")
        see(browser, "#more-users", lambda said: said == "at most, in the whole run", "the whole run")
        assert text(browser, "#figure-users") == "1,500"
        assert browser.driver.title == "MISS: election_night"
        assert not browser.driver.find_element(By.ID, "apply").is_enabled()
        assert browser.faults() == []

    await on_a_thread(see_the_loss_and_stop)


async def test_a_page_opened_in_mid_run_has_the_whole_past(nursery: trio.Nursery, browser: Window) -> None:
    run = SteeredRun()
    run.start(1000, 100.0)
    run.advance(90)
    url = serve(nursery, run)

    def look() -> None:
        browser.driver.get(url)
        see(browser, "#figure-users", lambda said: said == "1,000", "the users")
        see(browser, "#clock", lambda said: said.startswith("1:30"), "the time")
        see_charts(browser, "deliver")

    await on_a_thread(look)


async def test_every_view_opens_with_keys_and_says_something(nursery: trio.Nursery, browser: Window) -> None:
    run = SteeredRun()
    run.start(1000, 500.0)
    run.advance(20)
    run.exceptions = [ExceptionRecord(3, "KeyError: 'room'", "Traceback ...", ["worker-1"])]
    url = serve(nursery, run)

    def walk() -> None:
        browser.driver.get(url)
        see(browser, "#verdict", lambda said: "PASS" in said, "the tables")
        tab = browser.driver.find_element(By.ID, "tab-charts")
        tab.click()
        for name, words in (
            ("statistics", "99.9 %"), ("failures", "connection lost"), ("findings", "Nothing was lost"),
            ("exceptions", "KeyError"),
            ("workers", "worker-1"), ("log", "2 of 2 workers are here"), ("data", "run.json"),
        ):  # fmt: skip
            browser.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
            see(browser, f"#{name}", lambda said, words=words: words in said, words)  # type: ignore[misc]
            assert browser.driver.switch_to.active_element.get_attribute("aria-controls") == name
            panels = browser.driver.find_elements(By.CSS_SELECTOR, "[role=tabpanel]:not([hidden])")
            assert [panel.get_attribute("id") for panel in panels] == [name]
        assert browser.faults() == []

    await on_a_thread(walk)


async def test_a_shape_leaves_people_only_the_stop(nursery: trio.Nursery, browser: Window) -> None:
    run = SteeredRun(shape="ElectionNight")
    run.start(1, 1.0)
    run.advance()
    url = serve(nursery, run)

    def look() -> None:
        browser.driver.get(url)
        see(browser, "#shape", lambda said: said.startswith("The shape ElectionNight decides"), "who decides")
        enabled = {name: browser.driver.find_element(By.ID, name).is_enabled() for name in ("users", "spawn", "apply", "stop")}
        assert enabled == {"users": False, "spawn": False, "apply": False, "stop": True}

    await on_a_thread(look)


async def test_a_refusal_is_told_at_the_page(nursery: trio.Nursery, browser: Window) -> None:
    class Refusing(SteeredRun):
        def start(self, users: int, spawn_per_s: float) -> None:
            raise NotNow("somebody else was faster")

    url = serve(nursery, Refusing())

    def press() -> None:
        browser.driver.get(url)
        see(browser, "#apply", lambda said: said == "Start", "the button")
        see(browser, "#phase", lambda said: said == "ready", "the run")
        browser.driver.find_element(By.ID, "apply").click()
        see(browser, "#trouble", lambda said: said == "somebody else was faster", "why not")

    await on_a_thread(press)


@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (360, "dark"), (1600, "dark")])
async def test_it_fits_a_phone_and_a_wall_by_day_and_by_night(
    nursery: trio.Nursery, browser: Window, width: int, theme: str
) -> None:
    run = SteeredRun()
    run.start(123_456, 50_000.0)
    run.advance(30)
    url = serve(nursery, run)

    def look() -> None:
        driver = browser.driver
        metrics = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
        driver.get(url)
        see(browser, "#figure-users", lambda said: said == "123,456", "the users")
        for tab in driver.find_elements(By.CSS_SELECTOR, "[role=tab]"):
            driver.execute_script("arguments[0].click()", tab)
            wide = driver.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, tab.text
        luminance = driver.execute_script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(luminance) < 300) == (theme == "dark")

    await on_a_thread(look)


def fill(browser: Window, name: str, value: str) -> None:
    field = browser.driver.find_element(By.ID, name)
    field.clear()
    field.send_keys(value)
