"""What was opened is closed when the rest fails, and only then."""

import pytest
import trio

from runtime.closing import closed_on_error


class Thing:
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_what_succeeds_keeps_it_open() -> None:
    thing = Thing()
    with closed_on_error(thing):
        pass
    assert not thing.is_closed


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_closes_it_and_leaves_as_it_is(error: type[BaseException]) -> None:
    thing, raised = Thing(), error("why")
    with pytest.raises(error) as caught, closed_on_error(thing):
        raise raised
    assert caught.value is raised
    assert thing.is_closed


async def test_a_cancellation_closes_it_too() -> None:
    thing = Thing()
    with trio.CancelScope() as scope:
        scope.cancel()
        with closed_on_error(thing):
            await trio.lowlevel.checkpoint()
    assert thing.is_closed
    assert scope.cancelled_caught
