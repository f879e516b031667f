"""Starting, draining, stopping; what signals do, and the code the process ends with."""

import signal

import pytest
import trio
import trio.testing

from runtime.lifecycle import ExitCode, Lifecycle, State, run_process


def test_it_goes_forward_only() -> None:
    lifecycle = Lifecycle()
    assert (lifecycle.state, lifecycle.why_not_ready()) == (State.STARTING, "starting")
    lifecycle.started()
    assert (lifecycle.state, lifecycle.why_not_ready()) == (State.READY, None)
    lifecycle.start_drain("SIGTERM")
    lifecycle.start_drain("again")
    lifecycle.started()
    assert (lifecycle.state, lifecycle.why_not_ready()) == (State.DRAINING, "draining: SIGTERM")
    lifecycle.stopped()
    assert (lifecycle.state, lifecycle.why_not_ready()) == (State.STOPPED, "stopped")


async def test_whoever_waits_for_the_drain_is_woken() -> None:
    lifecycle = Lifecycle()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lifecycle.wait_drain)
        await trio.testing.wait_all_tasks_blocked()
        assert not lifecycle.is_draining
        lifecycle.start_drain("a test")
    assert lifecycle.is_draining


def test_the_wall_clock_can_be_given() -> None:
    assert Lifecycle(wall_clock=lambda: 12.5).wall_clock() == 12.5
    assert Lifecycle().wall_clock() > 1.6e9


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")])
def test_the_first_signal_drains_and_the_process_ends_well(number: signal.Signals, name: str) -> None:
    seen: list[str] = []

    async def main(lifecycle: Lifecycle) -> None:
        lifecycle.started()
        signal.raise_signal(number)
        await lifecycle.wait_drain()
        seen.append(lifecycle.drain_reason)

    assert run_process(main) is ExitCode.OK
    assert seen == [name]


@pytest.mark.parametrize(
    ("second", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_a_second_signal_ends_it_at_once(second: signal.Signals, code: ExitCode) -> None:
    async def main(lifecycle: Lifecycle) -> None:
        signal.raise_signal(signal.SIGTERM)
        await lifecycle.wait_drain()
        signal.raise_signal(second)
        await trio.sleep_forever()

    assert run_process(main) is code


def test_the_first_signal_to_a_process_that_drains_already_is_not_the_second() -> None:
    """Found by a drain in which a supervisor signals a gateway and its workers at once."""

    async def main(lifecycle: Lifecycle) -> None:
        lifecycle.start_drain("the process that started this one asks for it")
        signal.raise_signal(signal.SIGTERM)
        await trio.testing.wait_all_tasks_blocked()

    assert run_process(main) is ExitCode.OK


def test_a_third_signal_is_the_systems_again() -> None:
    async def main(lifecycle: Lifecycle) -> None:
        signal.raise_signal(signal.SIGINT)
        await lifecycle.wait_drain()
        signal.raise_signal(signal.SIGINT)
        try:
            await trio.sleep_forever()
        finally:
            signal.raise_signal(signal.SIGINT)

    assert run_process(main) is ExitCode.INTERRUPTED


def test_main_may_name_its_own_code() -> None:
    async def main(lifecycle: Lifecycle) -> ExitCode:
        return ExitCode.UNAVAILABLE

    assert run_process(main) is ExitCode.UNAVAILABLE


def test_a_bug_leaves_as_what_it_is() -> None:
    async def main(lifecycle: Lifecycle) -> None:
        raise AssertionError("a bug")

    with pytest.raises(ExceptionGroup) as raised:
        run_process(main)
    assert raised.group_contains(AssertionError, match="a bug")


def test_the_handlers_are_as_before_when_it_has_ended() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async def main(lifecycle: Lifecycle) -> None:
        await trio.lowlevel.checkpoint()

    run_process(main)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_codes_of_signals_are_what_a_shell_expects() -> None:
    assert (ExitCode.INTERRUPTED, ExitCode.TERMINATED) == (130, 143)


def test_sighup_asks_for_a_reload_and_ends_nothing() -> None:
    seen: list[int] = []

    async def main(lifecycle: Lifecycle) -> None:
        async with trio.open_nursery() as nursery:
            for number in (signal.SIGHUP, signal.SIGHUP):
                nursery.start_soon(_note, lifecycle, lifecycle.reloads_asked, seen)
                await trio.testing.wait_all_tasks_blocked()
                signal.raise_signal(number)
                await lifecycle.wait_reload(lifecycle.reloads_asked)
        assert not lifecycle.is_draining

    assert run_process(main, is_service=True) is ExitCode.OK
    assert seen == [1, 2]


async def _note(lifecycle: Lifecycle, seen_before: int, seen: list[int]) -> None:
    seen.append(await lifecycle.wait_reload(seen_before))


async def test_a_reload_that_was_asked_for_while_one_was_done_is_not_missed() -> None:
    lifecycle = Lifecycle()
    lifecycle.ask_reload()
    lifecycle.ask_reload()
    assert await lifecycle.wait_reload(1) == 2


def test_sighup_of_a_terminal_that_is_gone_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [True, False]
    monkeypatch.setattr("runtime.lifecycle._has_terminal", lambda: answers.pop(0))

    async def main(lifecycle: Lifecycle) -> None:
        signal.raise_signal(signal.SIGHUP)
        await lifecycle.wait_drain()
        assert lifecycle.drain_reason == "the terminal is gone"

    assert run_process(main, is_service=True) is ExitCode.OK


def test_what_is_no_service_keeps_its_own_meaning_of_sighup() -> None:
    """A load test ends by it, and one under nohup does not hear it at all."""
    heard: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: heard.append(number))

    async def main(lifecycle: Lifecycle) -> None:
        signal.raise_signal(signal.SIGHUP)
        await trio.testing.wait_all_tasks_blocked()
        assert lifecycle.reloads_asked == 0

    try:
        assert run_process(main) is ExitCode.OK
    finally:
        signal.signal(signal.SIGHUP, before)
    assert heard == [signal.SIGHUP]
