"""Shapes: what tick may answer, and what a shape knows."""

import pytest

from loadtest.people.shapes import Load, LoadTestShape, ShapeError, Steady


class Speaker:
    """Stands for a user class."""


def _answers(answer: object) -> LoadTestShape:
    class Shape(LoadTestShape):
        def tick(self):  # type: ignore[no-untyped-def]  # whatever a scenario may answer
            return answer

    return Shape()


@pytest.mark.parametrize(
    ("answer", "load"),
    [
        ((10, 2), Load(10, 2.0)),
        ((10, 2.5, [Speaker]), Load(10, 2.5, classes=[Speaker])),
        ((10.4, 2, None), Load(10, 2.0)),
        (Load(5, 1.0, arrivals_per_s={Speaker: 3}), Load(5, 1.0, arrivals_per_s={Speaker: 3})),
        (None, None),
    ],
)
def test_locusts_tuples_and_loads_are_loads(answer: object, load: Load | None) -> None:
    assert _answers(answer).load_at(0, 0) == load


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (10, "Shape.tick answered 10: it must be"),
        ((1, 2, 3, 4), "it must be"),
        (("ten", 1), "it must be"),
        ((-1, 1), "asks for -1 users"),
        ((1, 0), "spawn rate of 0.0: it must be above 0"),
        (Load(1, float("inf")), "spawn rate of inf"),
        (Load(1, 1, arrivals_per_s=-3), "asks for -3 arrivals"),
        (Load(1, 1, arrivals_per_s={"Speaker": 1e9}), "arrivals a second: it must be from 0"),
    ],
)
def test_anything_else_is_one_sentence(answer: object, sentence: str) -> None:
    with pytest.raises(ShapeError, match=sentence):
        _answers(answer).load_at(0, 0)


def test_a_tick_that_raises_is_one_sentence() -> None:
    class Shape(LoadTestShape):
        def tick(self) -> None:
            raise KeyError("stage")

    with pytest.raises(ShapeError, match=r"Shape\.tick raised KeyError after 3 s: 'stage'"):
        Shape().load_at(3.2, 0)


def test_a_shape_knows_the_time_and_the_users() -> None:
    class Shape(LoadTestShape):
        def tick(self) -> tuple[int, int]:
            if self.get_run_time() > 10:
                self.reset_time()
            return self.get_current_user_count() + 1, 1 + round(self.get_run_time())

    shape = Shape()
    assert shape.load_at(4, 7) == Load(8, 5.0)
    assert shape.load_at(11, 7) == Load(8, 1.0)
    assert shape.load_at(13, 0) == Load(1, 3.0)


def test_a_steady_shape_ends_when_its_time_is_over() -> None:
    class Ten(Steady):
        users, spawn_rate, run_time_s = 10, 2.0, 30.0

    assert (Ten.abstract, Steady.abstract) == (False, True)
    assert [Ten().load_at(at, 0) for at in (0, 29.9, 30)] == [Load(10, 2.0), Load(10, 2.0), None]
    endless = Ten()
    endless.run_time_s = None
    assert endless.load_at(1e6, 0) == Load(10, 2.0)
