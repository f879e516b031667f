"""A made-up run as a record: an election night of any length, the same for the same arguments."""

from math import exp
from random import Random

from loadtest.figures.latency import Latencies
from loadtest.figures.messages import Row
from loadtest.figures.record import (
    RECORD_VERSION,
    FoundRecord,
    Moment,
    Percentiles,
    RowTotal,
    RunRecord,
    ServerProbe,
    ThresholdResult,
    Verdict,
    WorkerProbe,
)
from loadtest.figures.totals import RowSum

GATEWAYS = ("gateway-1", "gateway-2")
SERVERS = (*GATEWAYS, "shard-1", "shard-2", "valkey")
ROWS = ("connect", "publish", "deliver", "deliver (large)", "deliver (medium)", "deliver (small)", "resume")


def moments(seconds: int, workers: int = 2, users: int = 5000, seed: int = 1, names: tuple[str, ...] = ROWS) -> list[Moment]:
    """The wall of 20:00 at 40 % of the run, one gateway away for a moment at 70 %."""
    random = Random(seed)
    return [_moment(second, seconds, workers, users, random, names) for second in range(1, seconds + 1)]


def _moment(second: int, seconds: int, workers: int, users: int, random: Random, names: tuple[str, ...]) -> Moment:
    wanted = round(users * min(1.0, second / (0.2 * seconds)))
    storm = exp(-(((second / seconds - 0.4) / 0.05) ** 2))
    lost = 0.7 * seconds < second <= 0.7 * seconds + max(2, seconds // 60)
    connected = round(wanted * (0.55 if lost else 1.0))
    publishes = connected / 100 * (1 + 4 * storm) * random.uniform(0.9, 1.1)
    deliveries = publishes * connected / 12
    slow = 1 + 6 * storm + (20 if lost else 0)

    def took(p50: float, count: float) -> Percentiles:
        p50 *= slow * random.uniform(0.85, 1.2)
        return Percentiles(round(count), p50, p50 * 2.6, p50 * 4.2, p50 * 7.9, p50 * random.uniform(9, 14))

    counts = {
        "publishes": publishes, "acked": publishes * 0.998, "refused": publishes * 0.002, "deliveries": deliveries,
        "bytes_received": deliveries * 310, "audited": deliveries * 0.03, "slots": publishes,
    }  # fmt: skip
    if second < 0.2 * seconds:
        counts["connects"] = users / (0.2 * seconds)
    if lost:
        counts |= {"disconnects": users * 0.1, "connects_failed": users * 0.02, "skipped": users * 0.3, "slots_missed": 3.0}
    elif 0.7 * seconds < second < 0.75 * seconds:
        counts |= {"resumes": users * 0.2, "connects": users * 0.2}
    base = {"connect": 4.0, "publish": 5.2, "resume": 9.0}
    latencies = {name: took(base.get(name, 6.4 if "large" not in name else 9.1), deliveries or 1) for name in names}
    return Moment(
        at_s=float(second),
        users=wanted,
        users_wanted=wanted,
        users_by_class={"Citizen": wanted // 20, "Onlooker": wanted - wanted // 20},
        connected=connected,
        servers=dict(zip(GATEWAYS, (connected, 0) if lost else (connected // 2, connected - connected // 2), strict=True)),
        counts_per_s=counts,
        latencies=latencies,
        violations=0,
        server=[ServerProbe(name, 0.1 + 0.5 * storm + random.random() * 0.05, (80 + 40 * number) * 2**20 + second * 2**12)
                for number, name in enumerate(SERVERS)],
        workers=[
            WorkerProbe(f"worker-{number}", wanted // workers, 0.25 + 0.4 * storm + random.random() * 0.05, 120 * 2**20,
                        random.uniform(0.4, 2.5) * (1 + 3 * storm), "running")
            for number in range(1, workers + 1)
        ],
    )  # fmt: skip


def row(name: str, middle_us: float = 6000, count: int = 3000, errors: dict[str, int] | None = None, seed: int = 1) -> RowTotal:
    """One row over a minute, its latencies spread around `middle_us`."""
    random = Random(f"{seed}-{name}")
    whole = RowSum("WS", name)
    latencies = Latencies()
    for _ in range(count):
        latencies.record(round(middle_us * random.lognormvariate(0, 0.6)))
    whole.latencies.merge(latencies)
    whole.errors.update(errors or {})
    whole.failures = sum((errors or {}).values())
    whole.bytes = count * 310
    return whole.total(60.0)


def record(seconds: int = 60, workers: int = 2, users: int = 5000, seed: int = 1) -> RunRecord:
    """A run that passes."""
    ran = moments(seconds, workers, users, seed)
    totals = {name: sum(moment.counts_per_s.get(name, 0.0) for moment in ran) for name in ran[-1].counts_per_s}
    middles = {"connect": 4000, "publish": 5200, "resume": 9000, "deliver (large)": 9100}
    return RunRecord(
        version=RECORD_VERSION,
        scenario="election_night",
        started_at="2026-04-12T19:59:00Z",
        seconds=float(seconds),
        command=["parvis", "loadtest", "-f", "election_night", "-u", str(users), "-r", "500", "-t", f"{seconds}s", "--headless"],
        hosts=["ws://127.0.0.1:8001/", "ws://127.0.0.1:8002/"],
        machine={"cores": "2", "memory": "24 GiB", "kernel": "Linux 6.1", "python": "3.11.2", "parvis": "0.1.0"},
        seed=seed,
        moments=ran,
        rows=[row(name, middles.get(name, 6400), seed=seed) for name in ROWS],
        counts={name: round(total) for name, total in totals.items()} | {"connects": users, "disconnects": 100, "resumes": 100},
        refusals={"4007": 12, "refused": 100},
        findings=[],
        thresholds=[
            ThresholdResult("deliver_p99>250ms", 41.2, "ms", False), ThresholdResult("loss>0", 0.0, "", False),
        ],
        verdict=Verdict("PASS", 0, []),
        clock_error_ms=0.0,
    )  # fmt: skip


def found(kind: str = "lost", room: str = "square/main", offset: int = 17, detail: str = "offset 17 never came") -> FoundRecord:
    return FoundRecord(kind, room, offset, 1, "auditor-3", detail)


def told_row(name: str, *latencies_us: int, errors: dict[str, int] | None = None, size: int = 0, kind: str = "WS") -> Row:
    """A row as a worker tells it; `size` is all bytes."""
    took = Latencies()
    for latency_us in latencies_us:
        took.record(latency_us)
    errors = errors or {}
    return Row(kind, name, took.count, took.total_us, took.encode(), sum(errors.values()), errors, size)
