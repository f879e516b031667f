"""Whether a generator was fit to measure: the rules by which a run's figures are worth nothing.  Pure.

Each rule looks at the generator alone.  How late a task wakes that waits for nothing but the
clock, how late slots of the plan were looked at, before anybody asks whether a user is free:
no server, however slow, changes these.  What a slow server does change (users that
wait, slots that find nobody free, connections that do not open) is in no rule.
"""

from dataclasses import dataclass
from typing import Final

from loadtest.figures.messages import Health

# A figure is a time between two moments that the event loop notes, so it is wrong by the loop's lag.  100 ms is what people
# begin to notice in a chat; a loop that is later than that for 1 s in 20 spoils a 95th percentile, and that for sure.
LAG_US_MAX: Final = 100_000
LAGGING_SHARE_MAX: Final = 0.05
# The plan is kept when 99 of 100 slots are looked at within LATE_SLOT_S (`loadtest/workers/arrivals.py`): the open model's
# 99th percentile is then the server's.  Fewer than 5 are no share of anything.
LATE_SLOTS_SHARE_MAX: Final = 0.01
LATE_SLOTS_MIN: Final = 5
# A core that has nothing left for so many beats in a row, and a loop late in each of them: the share over a run of hours
# would forgive it.  Late alone may be a neighbour's, full alone is a generator used well.
FULL_CPU_SHARE: Final = 0.95
FULL_CPU_BEATS_MAX: Final = 10
# Shares are of ten seconds at least: a pause of half a second in a run of two is no verdict.
SHARE_OF_S_MIN: Final = 10.0
# A worker this near to its limit of descriptors fails to connect by itself, and would be told to be refused.
DESCRIPTORS_LEFT_MIN: Final = 8


@dataclass(slots=True)
class Fitness:
    """One worker over its whole run; `descriptors_max` is its soft limit."""

    descriptors_max: int
    seconds: float = 0.0
    lagging_s: float = 0.0
    """Time in which the loop was later than LAG_US_MAX."""
    lag_us_max: int = 0
    slots: int = 0
    slots_late: int = 0
    late_us_max: int = 0
    open_fds_max: int = 0
    full_beats: int = 0
    """Beats in a row, up to now, with a full core and a late loop."""
    full_beats_max: int = 0

    def woke(self, waited_s: float, late_us: int) -> None:
        """A task that meant to sleep woke `waited_s` after it had begun, `late_us` too late."""
        self.seconds += waited_s
        self.lag_us_max = max(self.lag_us_max, late_us)
        if late_us > LAG_US_MAX:
            self.lagging_s += late_us / 1e6

    def looked_at_slots(self, count: int, late: int, late_us_max: int) -> None:
        """`late` of them later than LATE_SLOT_S after their moment."""
        self.slots += count
        self.slots_late += late
        self.late_us_max = max(self.late_us_max, late_us_max)

    def beat(self, health: Health) -> None:
        """One second more."""
        self.open_fds_max = max(self.open_fds_max, health.open_fds)
        is_late = health.lag_us_max > LAG_US_MAX or health.late_us_max > LAG_US_MAX
        self.full_beats = self.full_beats + 1 if health.cpu_share >= FULL_CPU_SHARE and is_late else 0
        self.full_beats_max = max(self.full_beats_max, self.full_beats)

    def stops(self) -> list[str]:
        """Why the figures are worth nothing, a plain sentence each with the figure and its bound; empty for a fit worker."""
        sentences = []
        lagging = self.lagging_s / max(self.seconds, SHARE_OF_S_MIN)
        if lagging > LAGGING_SHARE_MAX:
            sentences.append(
                f"its event loop was more than {LAG_US_MAX // 1000} ms late for {lagging:.1%} of the time, at worst "
                f"{self.lag_us_max / 1000:,.0f} ms (bound: {LAGGING_SHARE_MAX:.0%}): use more workers or fewer users"
            )
        late = self.slots_late / self.slots if self.slots else 0.0
        if late > LATE_SLOTS_SHARE_MAX and self.slots_late >= LATE_SLOTS_MIN:
            sentences.append(
                f"it came late to {late:.1%} of the plan's slots, at worst {self.late_us_max / 1000:,.0f} ms "
                f"(bound: {LATE_SLOTS_SHARE_MAX:.0%}): use more workers, or publish less"
            )
        if self.full_beats_max >= FULL_CPU_BEATS_MAX:
            sentences.append(
                f"its core was full and it was late for {self.full_beats_max} seconds in a row "
                f"(bound: {FULL_CPU_BEATS_MAX}): use more workers"
            )
        left = self.descriptors_max - self.open_fds_max
        if left < DESCRIPTORS_LEFT_MIN:
            sentences.append(
                f"it had {self.open_fds_max:,} descriptors open and its limit is {self.descriptors_max:,}: "
                "raise it with ulimit -n, or use more workers"
            )
        return sentences
