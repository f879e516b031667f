"""The report, as a file and in a real browser."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from loadtest.figures.record import FoundRecord, Mark, RunRecord, Verdict
from loadtest.reports.html_report import PAGE_BYTES_MAX, report_of, write_report
from tests.support.browser import Window, window
from tests.support.charts import painted
from tests.support.run_record import ROWS, found, moments, record, row

EVIL = "</script><script>document.title = 'taken'</script><!--"


def test_a_long_run_of_many_workers_fits(tmp_path: Path) -> None:
    ran = record(3600, workers=8)
    errors = {f"error {number} {'x' * 200}": 1 for number in range(50)}
    long = msgspec.structs.replace(
        ran,
        findings=[found(offset=number, detail="offset never came " * 20) for number in range(900)],
        refusals={f"http {code}": code for code in range(400, 500)},
        rows=[*ran.rows, *(row(f"step {number}", count=50, errors=errors) for number in range(30))],
    )
    for each in (ran, long):
        write_report(str(tmp_path / "night.html"), each)
        size = (tmp_path / "night.html").stat().st_size
        assert size <= PAGE_BYTES_MAX
        assert size > PAGE_BYTES_MAX * 0.6, "the budget is there to be used for the time line"
    assert [each.name for each in tmp_path.iterdir()] == ["night.html"]


def test_a_thinned_time_line_says_so_and_keeps_its_worst() -> None:
    ran = record(3600)
    worst = max(moment.latencies["deliver"].max for moment in ran.moments)
    page = report_of(ran)
    every_s = int(re.findall(r"Each point is (\d+) seconds: the worst of them", page)[0])
    timeline = data_of(page)["timeline"]
    assert timeline["every_s"] == every_s
    assert max(filter(None, timeline["columns"]["latency.deliver.max"])) == pytest.approx(worst, rel=1e-3)
    assert "Each point is one second. Drag" in report_of(record(20))


def test_lines_that_are_left_out_are_told() -> None:
    assert "Of more gateways or processes than 12, those with the highest peaks are drawn." in report_of(record(20, workers=13))
    assert "highest peaks" not in report_of(record(20, workers=12))


def test_the_policy_allows_the_pages_own_script_and_style_and_nothing_else() -> None:
    page = report_of(record(5))
    policy = re.findall(r'Content-Security-Policy" content="(.*?)"', page)[0].replace("&#x27;", "'")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    allowed = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts]
    assert (len(scripts), len(styles)) == (3, 1)
    assert policy.startswith(f"default-src 'none'; script-src {' '.join(allowed)}; style-src 'sha256-")
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_text_of_the_run_stays_text() -> None:
    page = report_of(evil())
    assert EVIL not in page
    assert page.count("<script") == 4
    assert data_of(page)["timeline"]["marks"][0]["text"] == EVIL


def test_a_run_without_a_single_moment_has_a_report() -> None:
    nothing = msgspec.structs.replace(
        record(1), moments=[], rows=[], counts={}, verdict=Verdict("UNREACHABLE", 4, ["nobody answered at ws://127.0.0.1:1/"])
    )
    page = report_of(nothing)
    assert "nobody answered at ws://127.0.0.1:1/" in page
    assert "there is nothing to draw" in page
    assert "Nothing was measured." in page
    assert data_of(page)["shares"]["columns"] == {}


def test_the_curve_ends_where_samples_end() -> None:
    rows = [row("deliver", count=2000), row("connect", count=10), row("resume", count=0)]
    page = report_of(msgspec.structs.replace(record(5), rows=rows))
    columns = data_of(page)["shares"]["columns"]
    at = data_of(page)["shares"]["at"]
    assert list(columns) == ["row.deliver", "row.connect"]
    assert at[0] == 0
    assert at[-1] == pytest.approx(3.25)
    assert [nine for nine, value in zip(at, columns["row.connect"], strict=True) if value is not None][-1] == 1
    rising = [value for value in columns["row.deliver"] if value is not None]
    assert rising == sorted(rising)
    assert len(rising) == len(at)


def data_of(page: str) -> dict[str, dict[str, object]]:  # type: ignore[type-arg]
    return msgspec.json.decode(re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)[0])  # type: ignore[no-any-return]


def evil() -> RunRecord:
    """Every text that comes from outside is an attack."""
    ran = record(20)
    marked = msgspec.structs.replace(ran.moments[9], marks=[Mark(9.5, "fault", EVIL, 3.0)], servers={EVIL: 5, "gateway-2": 9})
    return msgspec.structs.replace(
        ran,
        scenario=EVIL,
        hosts=[EVIL],
        command=["parvis", EVIL],
        machine={EVIL: EVIL},
        moments=[*ran.moments[:9], marked, *ran.moments[10:]],
        rows=[*ran.rows, row(EVIL, errors={EVIL: 3})],
        refusals={EVIL: 1},
        findings=[FoundRecord("lost", EVIL, 1, 1, EVIL, EVIL)],
        verdict=Verdict("MISS", 1, [EVIL]),
        notes=[EVIL],
    )


# --- in a browser ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with window(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def show(browser: Window, path: Path, ran: RunRecord, width: int = 1200, scheme: str = "light") -> None:
    """Open a report at a width, by day or by night, and wait until it has drawn."""
    path.write_text(report_of(ran), "utf-8")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.driver.get(path.as_uri())
    WebDriverWait(browser.driver, 40, poll_frequency=0.05).until(lambda _: painted(browser))


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")])
def test_it_opens_and_draws_every_chart(browser: Window, tmp_path: Path, width: int, scheme: str) -> None:
    show(browser, tmp_path / "night.html", record(60, workers=3), width, scheme)
    has_all = WebDriverWait(browser.driver, 40, poll_frequency=0.05)
    has_all.until(lambda _: all(count > 500 for count in painted(browser).values()))
    shown = painted(browser)
    assert len(shown) == 16
    assert {"chart-deliver", "chart-by-share", "chart-server-memory", "chart-worker-lag"} <= set(shown)
    root = "return document.documentElement"
    wide, window_wide = (browser.driver.execute_script(f"{root}.{each}") for each in ("scrollWidth", "clientWidth"))
    assert wide <= window_wide <= width, "nothing sticks out of the window"
    ground = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) < 100) == (scheme == "dark")
    assert browser.text_of("word") == "PASS"
    assert browser.faults() == []


def test_it_asks_nobody_for_anything(browser: Window, tmp_path: Path) -> None:
    show(browser, tmp_path / "night.html", record(20))
    fetched = browser.driver.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_an_attack_is_shown_and_does_nothing(browser: Window, tmp_path: Path) -> None:
    show(browser, tmp_path / "night.html", evil())
    assert browser.driver.title == f"MISS: {EVIL}"
    assert browser.driver.execute_script("return document.querySelector('h1').textContent") == EVIL
    assert browser.driver.execute_script("return document.scripts.length") == 4
    legend = browser.driver.execute_script("return document.querySelector('#chart-gateways .u-legend').textContent")
    assert EVIL in legend
    assert browser.faults() == []


def test_a_run_of_a_few_seconds_and_a_single_row_draws_what_there_is(browser: Window, tmp_path: Path) -> None:
    short = msgspec.structs.replace(record(60), moments=moments(1, names=("connect",)), rows=[row("connect", count=1)])
    show(browser, tmp_path / "night.html", short)
    assert "chart-connect" in painted(browser)
    assert "chart-deliver" not in painted(browser)
    assert browser.faults() == []


def test_every_row_of_the_record_is_in_a_table(browser: Window, tmp_path: Path) -> None:
    show(browser, tmp_path / "night.html", record(20))
    heads = browser.driver.execute_script("return [...document.querySelectorAll('tbody th')].map((each) => each.textContent)")
    assert set(ROWS) <= set(heads)


def test_paper_is_white_by_night_too(browser: Window, tmp_path: Path) -> None:
    show(browser, tmp_path / "night.html", record(20), scheme="dark")
    ground = "return getComputedStyle(document.body).getPropertyValue('--ground')"
    night = browser.driver.execute_script(ground)
    browser.driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    day = browser.driver.execute_script(ground)
    browser.driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert (day, night) == ("#faf6f0", "#191512")
    assert browser.driver.execute_script(ground) == night
    assert browser.faults() == []


def test_a_pointer_on_one_chart_reads_all_of_them(browser: Window, tmp_path: Path) -> None:
    show(browser, tmp_path / "night.html", record(20))
    over = browser.driver.find_element(By.CSS_SELECTOR, "#chart-deliver .u-over")
    ActionChains(browser.driver).move_to_element(over).perform()
    legend = "return document.querySelector('#chart-publishes .u-legend').textContent"
    WebDriverWait(browser.driver, 40, poll_frequency=0.05).until(lambda _: "at 0:1" in browser.driver.execute_script(legend))
    assert re.search(r"sent[\d.,]+ /s", browser.driver.execute_script(legend))
