"""The offset of a worker's clock."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.master.clocks import WATCHED_PROBES, ClockWatch, Offset, Sample, estimate, offset_between

_TRIPS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20)


def _probed(trips: list[tuple[int, int]], true_offset_us: int) -> list[Sample]:
    """Probes whose way there and back took so long."""
    samples = []
    at_us = 10**9
    for there_us, back_us in trips:
        samples.append(Sample(at_us, at_us + there_us - true_offset_us, at_us + there_us + back_us))
        at_us += 10**6
    return samples


@given(_TRIPS, st.integers(-(10**12), 10**12))
def test_the_true_offset_is_never_further_away_than_the_error_says(trips: list[tuple[int, int]], offset_us: int) -> None:
    found = estimate(_probed(trips, offset_us))
    assert abs(found.offset_us - offset_us) <= found.error_us


def test_the_fastest_probe_is_believed() -> None:
    assert estimate(_probed([(9000, 10), (40, 60), (10, 9000)], 5)) == Offset(15, 50)


@given(_TRIPS)
def test_one_machine_has_one_clock(trips: list[tuple[int, int]]) -> None:
    assert offset_between("boot", "boot", _probed(trips, 0)) == Offset(0, 0)


def test_another_machine_has_another() -> None:
    assert offset_between("boot", "other", _probed([(40, 40)], 0)) == Offset(0, 40)


def test_a_machine_that_does_not_know_its_boot_is_another() -> None:
    assert offset_between("", "", _probed([(40, 40)], 0)) == Offset(0, 40)


def test_a_time_namespace_is_seen_through() -> None:
    assert offset_between("boot", "boot", _probed([(40, 40)], 10**9)) == Offset(10**9, 40)


def test_the_error_grows_with_the_drift_of_a_clock_and_never_shrinks() -> None:
    watch = ClockWatch(Offset(0, 40))
    for sample in _probed([(9000, 9000)] * (WATCHED_PROBES - 1), 300):
        watch.saw(sample)
    # Few and slow: nothing is believed yet.
    assert watch.error_us == 40
    watch.saw(_probed([(50, 50)], 300)[0])
    assert watch.error_us == 350
    for sample in _probed([(50, 50)] * WATCHED_PROBES, 0):
        watch.saw(sample)
    assert watch.error_us == 350


def test_one_clock_does_not_drift_from_itself() -> None:
    watch = ClockWatch(Offset(0, 0))
    for sample in _probed([(9000, 50)] * WATCHED_PROBES, 0):
        watch.saw(sample)
    assert watch.error_us == 0
