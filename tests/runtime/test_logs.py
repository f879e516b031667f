"""Logs: one line per event, whatever is in it, and never more lines than are bearable."""

import io
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from runtime.logs import LimitedLog, escaped, make_logger
from runtime.schema import LogSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_event_and_fields() -> None:
    stream = io.StringIO()
    log = make_logger(LogSettings(), stream=stream, wall_clock=lambda: 1_700_000_000.25, role="gateway", node="gateway-1")
    log.info("link_opened", shard="shard-1", version=1, ok=True, rtt_s=0.5, chain=b"\x00", nothing=None)
    assert stream.getvalue().count("\n") == 1
    (line,) = lines_of(stream)
    assert list(line)[:3] == ["ts", "level", "event"]
    assert line == {
        "ts": "2023-11-14T22:13:20.250Z", "level": "info", "event": "link_opened", "role": "gateway", "node": "gateway-1",
        "shard": "shard-1", "version": 1, "ok": True, "rtt_s": 0.5, "chain": "b'\\x00'", "nothing": None,
    }  # fmt: skip


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    log = make_logger(LogSettings(level="warning"), stream=stream)
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines_of(stream)] == ["loud"]


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [("auto", io.StringIO(), True), ("auto", Terminal(), False), ("json", Terminal(), True), ("console", io.StringIO(), False)],
)
def test_the_form_follows_the_setting_and_the_terminal(form: str, stream: io.StringIO, is_json: bool) -> None:
    make_logger(LogSettings(form=form), stream=stream).info("started", node="n-1")
    assert stream.getvalue().startswith("{") == is_json
    assert "started" in stream.getvalue()


@given(st.text(), st.sampled_from(["json", "console"]))
def test_no_text_can_make_a_second_line_or_speak_to_the_terminal(text: str, form: str) -> None:
    stream = io.StringIO()
    make_logger(LogSettings(form=form), stream=stream).info("refused", what=text)
    line = stream.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain ä", "plain ä"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202eevil", "\\u202eevil"),
        ("a\u2028b", "a\\u2028b"),
        ("\x85\x7f", "\\x85\\x7f"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text: str, safe: str) -> None:
    assert escaped(text) == safe


def test_a_traceback_is_one_json_line_and_many_console_lines() -> None:
    for form, lines in (("json", 1), ("console", 4)):
        stream = io.StringIO()
        log = make_logger(LogSettings(form=form), stream=stream)
        try:
            raise ValueError("bad \x1b thing")
        except ValueError:
            log.exception("connection_failed")
        assert len(stream.getvalue().splitlines()) >= lines
        assert "ValueError" in stream.getvalue()
        assert "\x1b" not in stream.getvalue()


def test_nothing_is_configured_globally() -> None:
    # Other tests capture logs in structlog's own way, which counts as configuring it.
    structlog.reset_defaults()
    make_logger(LogSettings(), stream=io.StringIO())
    assert not structlog.is_configured()


def test_by_default_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    make_logger(LogSettings()).info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert '"hello"' in captured.err


def test_one_line_per_key_and_interval_with_a_count_of_the_rest() -> None:
    stream, now = io.StringIO(), 100.0
    log = LimitedLog(make_logger(LogSettings(), stream=stream), lambda: now)
    for _ in range(5):
        log.warning("handshake_refused", reason="origin")
    log.warning("link_refused")
    now = 100.999
    log.warning("handshake_refused", reason="origin")
    now = 101.0
    log.warning("handshake_refused", reason="key")
    told = [(line["event"], line.get("reason"), line.get("held_back")) for line in lines_of(stream)]
    assert told == [("handshake_refused", "origin", None), ("link_refused", None, None), ("handshake_refused", "key", 5)]


def test_a_key_tells_lines_of_one_event_apart() -> None:
    stream = io.StringIO()
    log = LimitedLog(make_logger(LogSettings(), stream=stream), lambda: 0.0)
    log.warning("refused", key="refused busy", code="busy")
    log.warning("refused", key="refused too_fast", code="too_fast")
    assert [line["code"] for line in lines_of(stream)] == ["busy", "too_fast"]


def test_what_is_held_back_at_the_end_is_told() -> None:
    stream = io.StringIO()
    log = LimitedLog(make_logger(LogSettings(), stream=stream), lambda: 0.0)
    log.warning("refused")
    log.warning("refused")
    log.flush()
    log.flush()
    assert lines_of(stream)[1:] == [lines_of(stream)[1]]
    assert lines_of(stream)[1]["event"] == "log_lines_held_back"
    assert lines_of(stream)[1]["held_back"] == 1
