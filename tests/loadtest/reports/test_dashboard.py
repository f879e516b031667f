"""What a terminal shows of a run that goes on."""

import msgspec
import pytest
from rich.console import Console

from loadtest.figures.record import Moment, RunRecord, ServerProbe, WorkerProbe
from loadtest.master.steering import Standing
from loadtest.reports.dashboard import LINES_PER_KIND_MAX, Overall, brief_ms, clock, dashboard, plain, plain_line, spark, wrong
from tests.support.run_record import record

RUN = record(60)


def standing(seconds: float = 44.0, planned: float | None = 60.0, hosts: list[str] | None = None) -> Standing:
    return Standing("running", "people come", "election_night", hosts or RUN.hosts, 5000, 500.0, None, seconds, planned, 2)


def shown(run: RunRecord = RUN, at: int = 44, width: int = 80, now: Moment | None = None, **more: object) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    moments = [*run.moments[: at - 1], now or run.moments[at - 1]]
    console.print(dashboard(standing(**more), moments, Overall(run.rows, run.counts, run.refusals), width))  # type: ignore[arg-type]
    return console.export_text().splitlines()


def test_the_picture_of_a_running_moment() -> None:
    lines = shown()
    assert lines[0].split() == ["election_night", "ws://127.0.0.1:8001/", "+1", "●", "running", "0:44", "of", "1:00"]
    assert "━" in lines[1]
    assert lines[2].startswith(" users       5,000 living of 5,000 wanted, 2,750 connected   disconnects 500/s")
    assert [line.split()[0] for line in lines[3:6]] == ["publishes", "deliveries", "deliver"]
    assert "█" in lines[4]
    assert lines[6].startswith(" wrong       0 lost or wrong")
    text = "\n".join(lines)
    rows = [line.split()[0] for line in lines if "│" in line]
    assert rows == ["p50", "connect", "publish", "deliver", "large", "medium", "small", "resume"]
    assert " gateways    gateway-1 2,750 (100 %)   gateway-2 0 (0 %)" in text
    assert "worker-2 running  2,500 users" in text
    assert "shard-1" in text
    assert " refusals    refused 100   4007 12" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(len(line) for line in shown(width=width)) <= width


def test_before_the_first_second_there_is_a_sentence() -> None:
    console = Console(width=80, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    waiting = msgspec.structs.replace(standing(0.0, None), phase="waiting", sentence="waiting for 2 of 4 workers", hosts=[])
    console.print(dashboard(waiting, [], Overall()))
    assert console.export_text().splitlines()[2] == " waiting for 2 of 4 workers"
    assert plain_line(waiting, None) == "waiting: waiting for 2 of 4 workers"


def test_the_line_for_a_pipe() -> None:
    line = plain_line(standing(), RUN.moments[43])
    assert line.startswith("   0:44  users 5,000 of 5,000, connected 2,750 | publishes ")
    assert " | deliver p50 " in line
    assert line.endswith(" | lost or wrong 0, skipped 1,500/s, connects failed 100/s")
    calm = msgspec.structs.replace(RUN.moments[30], latencies={})
    assert plain_line(standing(), calm).endswith(" | deliver \N{EN DASH} | lost or wrong 0")


def test_users_on_their_way_out_are_not_so_many_of_fewer() -> None:
    leaving = msgspec.structs.replace(RUN.moments[43], users_wanted=0)
    assert plain_line(standing(), leaving).startswith("   0:44  users 5,000, on the way to 0, connected 2,750 | ")
    assert shown(now=leaving)[2].startswith(" users       5,000 living, on the way to 0 wanted, 2,750 connected")
    gone = msgspec.structs.replace(leaving, users=0)
    assert plain_line(standing(), gone).startswith("   0:44  users 0 of 0, ")


def test_violations_are_named_and_what_was_announced_is_told_beside() -> None:
    assert wrong(0, {}).plain == "0 lost or wrong"
    line = wrong(3, {"lost": 2, "reordered": 1, "skipped": 1500, "slots_missed": 4})
    assert line.plain == "3 lost or wrong: lost 2, reordered 1   1,500 skipped, announced   4 slots missed"
    assert any("red" in str(span.style) for span in line.spans)


def test_text_from_outside_cannot_speak_to_the_terminal() -> None:
    assert plain("\x1b[2J\x9b31mred\u202e\u200b\nnext\ttab") == "�[2J�31mred���next�tab"
    assert plain("x" * 80, 10) == "xxxxxxxxx…"
    assert plain("héllo 🎉 [bold]not markup[/bold]") == "héllo 🎉 [bold]not markup[/bold]"
    evil = "\x1b]0;taken\x07"
    moment = msgspec.structs.replace(
        RUN.moments[9],
        servers={evil: 5},
        server=[ServerProbe(evil, 0.1, 1)],
        workers=[WorkerProbe(evil, 1, 0.1, 1, 1.0, "running")],
        latencies={evil: RUN.moments[9].latencies["deliver"]},
    )
    run = msgspec.structs.replace(RUN, refusals={evil: 3}, rows=[msgspec.structs.replace(RUN.rows[0], name=evil)])
    text = "\n".join(shown(run, 10, now=moment, hosts=[evil]))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "taken" in text


def test_many_workers_do_not_fill_the_screen() -> None:
    many = [WorkerProbe(f"worker-{number}", 1, 0.1, 1, 1.0, "dead" if number == 1 else "running") for number in range(40)]
    lines = shown(now=msgspec.structs.replace(RUN.moments[43], workers=many))
    assert sum("worker-" in line for line in lines) == LINES_PER_KIND_MAX
    assert f"and {40 - LINES_PER_KIND_MAX} more" in "\n".join(lines)


def test_a_run_without_an_end_has_a_line_instead_of_a_bar() -> None:
    assert set(shown(planned=None)[1].strip()) == {"─"}


@pytest.mark.parametrize(
    ("values", "blocks"), [([], ""), ([0, 0], ""), ([0, 1, 8], " ▁█"), ([8, 4, 0.01], "█▄▁"), (list(range(1, 30)), "▇▇▇▇██")]
)
def test_sparks(values: list[float], blocks: str) -> None:
    assert spark(values, 6) == blocks


def test_brief_figures() -> None:
    assert [brief_ms(value) for value in (0, 0.001, 0.064, 41.23, 591.2, 1234, 123456)] == [
        "<0.01", "<0.01", "0.064", "41.2", "591", "1.23s", "123s",
    ]  # fmt: skip
    assert [clock(seconds) for seconds in (0, 59.9, 61, 3723)] == ["0:00", "0:59", "1:01", "1:02:03"]
