"""What a cluster must reach, and whether it did: pure, so that it can be tested as values."""

from bench.others import OTHERS_SHARE_MAX
from bench.sheet import Sheet
from bench.verdict import FLOOR, FLOOR_KNOWN, FLOOR_SHARE_MIN, ROOM, Row, Verdict

MACHINE = "machine"
STORM = "gateway dies"
LINKS = "links"
EDGE = "websockets"
LIGHT = "light load"
PAUSE = "pause"
FULL_ROOMS = "full rooms"
BALANCE = "balance"


def rows_of(sheet: Sheet) -> list[Row]:
    """Every figure that is asked for, in the order of the text that asks for them."""
    # What must never happen is summed over the runs: a median would forgive it.
    lost = sheet.of(PAUSE, "all", "lost") + sheet.of(FULL_ROOMS, "all", "lost")
    return [
        Row("publish pause after kill -9 of a shard", "s", sheet.of(PAUSE, "kill", "longest_s"), at_most=3),
        Row("publish pause after a planned move", "ms", sheet.of(PAUSE, "move", "longest_ms"), at_most=250),
        Row("publish pause when 30 full rooms move at once", "ms", sheet.of(FULL_ROOMS, "all", "longest_ms"), at_most=250),
        Row("messages lost or refused in these", "", _summed(lost), at_most=0),
        Row("5,000 clients of a dead gateway are back, the last", "s", sheet.of(STORM, "all", "longest_s"), at_most=10),
        Row("5,000 clients of a dead gateway are back, p99", "s", sheet.of(STORM, "all", "p99_s"), at_most=5),
        Row("of them not back, not recovered, or with a hole", "", _summed(sheet.of(STORM, "all", "faulty")), at_most=0),
        Row("attaches per room and surviving gateway", "", sheet.of(STORM, "all", "attaches"), at_most=1),
        Row("committed a second by one shard, 30 rooms", "", sheet.of(LINKS, "30 rooms", "per_s"), at_least=20_000),
        Row("committed a second by one shard, 300 rooms", "", sheet.of(LINKS, "300 rooms", "per_s"), at_least=20_000),
        Row("committed a second through websockets and gateways", "", sheet.of(EDGE, "all", "per_s"), at_least=8_000),
        Row("publish to acknowledged at 100 a second, p50", "ms", sheet.of(LIGHT, "all", "p50_ms"), at_most=3),
        Row("publishes refused, unknown or unanswered in these", "", _summed(sheet.of(LINKS, "all", "refused")), at_most=0),
        Row("most slots over the mean, 2 to 64 shards", "x", sheet.of(BALANCE, "all", "max_over_mean"), at_most=1.15),
        Row("slots moved by one shard more, beyond 1/(N+1)", "%", sheet.of(BALANCE, "all", "moved_beyond_percent"), at_most=2),
    ]  # fmt: skip


def _summed(samples: list[float]) -> list[float]:
    return [sum(samples)] if samples else []


def overall(rows: list[Row], sheet: Sheet, *, judge_all: bool) -> Verdict:
    """The verdict on all.  With `judge_all` false, rows that were not measured do not count.

    A machine whose bare send loop is below 80 % of its known figure is another one, and one of
    which others use a tenth is busy: what is missed there is no verdict on the program
    (INVALID).  What was reached all the same holds.
    """
    verdicts = {row.verdict for row in rows if judge_all or row.samples}
    if Verdict.MISS not in verdicts and not sheet.failures:
        return Verdict.PASS
    floor = sheet.median(FLOOR, ROOM, "deliveries_per_cpu_s")
    is_another = floor is not None and floor < FLOOR_KNOWN * FLOOR_SHARE_MIN
    is_busy = (sheet.median(MACHINE, "all", "others_share") or 0.0) > OTHERS_SHARE_MAX
    return Verdict.INVALID if is_another or is_busy else Verdict.MISS
