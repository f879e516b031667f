"""A window of a real Chromium, as a person has it: the page, its lines, its state."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

DEADLINE_S = 40
_ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1000,760",
)  # fmt: skip
# What the network does while a server restarts, in Chromium's words; anything else in the console is a fault of the page.
_EXPECTED_IN_CONSOLE = ("ERR_CONNECTION_REFUSED", "WebSocket connection to", "ERR_CONNECTION_RESET")


class Window:
    """One person's window, in a room."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def enter(self, page_url: str, name: str, room: str, state: str = "Connected", deadline_s: float = DEADLINE_S) -> None:
        """Load the page anew, fill the form at the entrance, and wait until the connection says `state`."""
        self.driver.get("about:blank")
        self.driver.get(page_url)
        for field, text in (("name", name), ("room", room)):
            element = self.driver.find_element(By.ID, field)
            element.clear()
            element.send_keys(text)
        self.driver.find_element(By.ID, "room").send_keys(Keys.ENTER)
        self.wait(lambda: self.text_of("state") == state, f"waited for {state!r}", deadline_s)

    def say(self, text: str) -> None:
        self.driver.find_element(By.ID, "text").send_keys(text, Keys.ENTER)

    def lines(self) -> list[str]:
        """What stands in the log, from the top."""
        return self._texts("#log .line > p")

    def waiting(self) -> list[str]:
        """What was said and has no place yet."""
        return self._texts("#waiting p")

    def remarks(self) -> list[str]:
        return self._texts("#log .remark > p")

    def text_of(self, element_id: str) -> str:
        return str(self.driver.execute_script("return document.getElementById(arguments[0]).textContent", element_id))

    def scroll_gap(self) -> float:
        """How far the view is above the newest line, in pixels."""
        script = "const s = document.getElementById('scroll'); return s.scrollHeight - s.scrollTop - s.clientHeight"
        return float(self.driver.execute_script(script))

    def scroll_to(self, top: int) -> None:
        """Scroll up, and return when the page has been told: a browser says so with its next frame."""
        self.driver.execute_async_script(
            "const [top, done] = arguments; document.getElementById('scroll').scrollTop = top;"
            "requestAnimationFrame(() => requestAnimationFrame(() => done()))",
            top,
        )

    def wait(self, holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        WebDriverWait(self.driver, deadline_s, poll_frequency=0.05).until(
            lambda _: holds(), f"{what}; lines: {self.lines()}; state: {self.text_of('state')}"
        )

    def wait_lines(self, lines: list[str]) -> None:
        self.wait(lambda: self.lines() == lines, f"waited for {lines}")

    def wait_state(self, state: str) -> None:
        self.wait(lambda: self.text_of("state") == state, f"waited for {state!r}")

    def act(self, line: str, action: str) -> None:
        """Press "edit" or "delete" beside one's own line."""
        self.driver.execute_script(
            "for (const p of document.querySelectorAll('#log .mine > p')) "
            "if (p.textContent === arguments[0]) p.parentElement.querySelector(`[name=${arguments[1]}]`).click()",
            line, action,
        )  # fmt: skip

    def faults(self) -> list[str]:
        """What the console has that a restart does not explain: a refused script, a broken policy, an error."""
        messages = [str(entry["message"]) for entry in self.driver.get_log("browser")]
        return [message for message in messages if not any(word in message for word in _EXPECTED_IN_CONSOLE)]

    def _texts(self, selector: str) -> list[str]:
        return list(
            self.driver.execute_script("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector)
        )


@contextmanager
def window(profile: Path, *more: str) -> Iterator[Window]:
    """A window with a profile of its own, closed at the end; `more` are Chromium's own flags.

    Fails when Chromium or its driver is missing.
    """
    chromium, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    assert chromium, "this test needs chromium in PATH (make test installs it)"
    assert driver_path, "this test needs chromedriver in PATH (make test installs it)"
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*_ARGUMENTS, *more, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_path))
    try:
        yield Window(driver)
    finally:
        driver.quit()
