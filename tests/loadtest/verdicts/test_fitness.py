"""When a generator's figures are worth nothing: each rule on both sides of its bound."""

from loadtest.figures.messages import Health
from loadtest.verdicts.fitness import (
    DESCRIPTORS_LEFT_MIN,
    FULL_CPU_BEATS_MAX,
    LAG_US_MAX,
    LATE_SLOTS_MIN,
    SHARE_OF_S_MIN,
    Fitness,
)

WELL = Health(cpu_share=0.4, rss_bytes=1, lag_us_max=2_000, late_us_max=3_000, open_fds=100)
FULL_AND_LATE = Health(cpu_share=1.0, rss_bytes=1, lag_us_max=LAG_US_MAX + 1, late_us_max=0, open_fds=100)


def _fitness() -> Fitness:
    return Fitness(descriptors_max=1024)


def test_a_loop_that_wakes_in_time_is_fit() -> None:
    fitness = _fitness()
    for _ in range(1000):
        fitness.woke(0.02, 500)
        fitness.beat(WELL)
    fitness.looked_at_slots(10_000, 90, 400_000)
    assert fitness.stops() == []


def test_a_loop_that_is_late_for_more_than_its_share_of_the_time_is_not() -> None:
    fitness = _fitness()
    fitness.woke(20.0, LAG_US_MAX)
    # Stalls of 0.25 s are seen by one wake each, and weigh 0.25 s: four of 20.98 s are 4.8 %, five are 5.9.
    for _ in range(4):
        fitness.woke(0.25, 250_000)
    assert fitness.stops() == []
    fitness.woke(0.25, 300_000)
    (sentence,) = fitness.stops()
    assert sentence == (
        "its event loop was more than 100 ms late for 6.1% of the time, at worst 300 ms (bound: 5%): "
        "use more workers or fewer users"
    )


def test_one_stall_in_a_short_run_is_no_verdict() -> None:
    fitness = _fitness()
    fitness.woke(0.5, int(SHARE_OF_S_MIN * 0.05 * 1e6))
    assert fitness.stops() == []
    fitness.woke(0.2, 200_000)
    assert len(fitness.stops()) == 1


def test_a_plan_that_is_looked_at_too_late_too_often_is_not_kept() -> None:
    fitness = _fitness()
    fitness.looked_at_slots(1000, 10, 80_000)
    assert fitness.stops() == []
    fitness.looked_at_slots(0, 1, 90_000)
    (sentence,) = fitness.stops()
    assert sentence.startswith("it came late to 1.1% of the plan's slots, at worst 90 ms (bound: 1%)")


def test_a_few_late_slots_are_no_share() -> None:
    fitness = _fitness()
    fitness.looked_at_slots(10, LATE_SLOTS_MIN - 1, 80_000)
    assert fitness.stops() == []


def test_a_full_core_that_is_late_for_long_is_not_fit() -> None:
    fitness = _fitness()
    for _ in range(FULL_CPU_BEATS_MAX - 1):
        fitness.beat(FULL_AND_LATE)
    fitness.beat(WELL)
    assert fitness.stops() == []
    for _ in range(FULL_CPU_BEATS_MAX + 2):
        fitness.beat(FULL_AND_LATE)
    fitness.beat(WELL)
    (sentence,) = fitness.stops()
    assert sentence.startswith(f"its core was full and it was late for {FULL_CPU_BEATS_MAX + 2} seconds in a row")


def test_a_full_core_in_time_and_a_late_loop_on_an_idle_one_are_fit() -> None:
    fitness = _fitness()
    for _ in range(3 * FULL_CPU_BEATS_MAX):
        fitness.beat(Health(1.0, 1, LAG_US_MAX, LAG_US_MAX, 1))
        fitness.beat(Health(0.5, 1, 10 * LAG_US_MAX, 0, 1))
    assert fitness.stops() == []


def test_a_worker_at_its_limit_of_descriptors_is_not_fit() -> None:
    fitness = _fitness()
    fitness.beat(Health(0.1, 1, 0, 0, 1024 - DESCRIPTORS_LEFT_MIN))
    assert fitness.stops() == []
    fitness.beat(Health(0.1, 1, 0, 0, 1024 - DESCRIPTORS_LEFT_MIN + 1))
    fitness.beat(WELL)
    assert fitness.stops() == [
        "it had 1,017 descriptors open and its limit is 1,024: raise it with ulimit -n, or use more workers"
    ]
