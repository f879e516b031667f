"""Event hooks: listeners take part, and cannot end a run."""

from typing import Any

import pytest

from loadtest.people.hooks import EventHook, Events
from loadtest.people.tasks import StopUser


def test_listeners_are_called_in_order_with_the_events_values() -> None:
    hook, heard = EventHook("request"), []

    @hook.add_listener
    def first(name: str, **kwargs: Any) -> None:
        heard.append(("first", name, kwargs))

    hook.add_listener(lambda **values: heard.append(("second", values["name"], {})))
    hook.fire(name="publish", response_time=3)
    assert heard == [("first", "publish", {"response_time": 3}), ("second", "publish", {})]
    heard.clear()
    hook.fire(name="publish", reverse=True)
    assert [who for who, *_ in heard] == ["second", "first"]
    hook.remove_listener(first)
    hook.fire(name="publish")
    assert len(heard) == 3


def test_a_listener_that_raises_is_logged_once_and_counted_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    events, heard = Events(), []
    events.request.add_listener(lambda **_: 1 / 0)
    events.request.add_listener(lambda **_: heard.append(1))
    for _ in range(3):
        events.request.fire()
    assert heard == [1, 1, 1]
    assert events.errors == 3
    assert capsys.readouterr().out.count("ZeroDivisionError: division by zero") == 1


def test_a_listener_may_stop_the_user() -> None:
    hook = EventHook("request")

    def stop(**_: Any) -> None:
        raise StopUser

    hook.add_listener(stop)
    with pytest.raises(StopUser):
        hook.fire()
    assert hook.errors == 0


def test_an_async_listener_is_refused() -> None:
    async def listener(**_: Any) -> None: ...

    with pytest.raises(TypeError, match="a listener of init is a plain function: write def"):
        Events().init.add_listener(listener)


def test_a_measured_block_fires_with_its_time_and_its_exception() -> None:
    hook, heard = EventHook("request"), list[dict[str, Any]]()
    hook.add_listener(lambda **values: heard.append(values))
    with hook.measure("HTTP", "page") as meta:
        meta["response_length"] = 7
    with hook.measure("HTTP", "page"):
        raise ValueError("no page")
    assert {(each["request_type"], each["name"]) for each in heard} == {("HTTP", "page")}
    assert [each["response_length"] for each in heard] == [7, 0]
    assert heard[0]["exception"] is None
    assert str(heard[1]["exception"]) == "no page"
    assert all(each["response_time"] >= 0 for each in heard)


def test_stopping_within_a_measured_block_is_no_failure_of_it() -> None:
    hook, heard = EventHook("request"), list[Any]()
    hook.add_listener(lambda **values: heard.append(values))
    with pytest.raises(StopUser), hook.measure("WS", "page"):
        raise StopUser
    assert heard == []


def test_what_was_listened_to_can_be_forgotten() -> None:
    events, heard = Events(), list[Any]()
    for hook in events.all():
        hook.add_listener(lambda **values: heard.append(values))
    events.forget()
    for hook in events.all():
        hook.fire()
    assert heard == []
