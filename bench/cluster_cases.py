"""What is measured on a cluster: a gateway's death, commits, the light load, pauses, and how slots are shared out."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench import cluster_verdict as verdict
from bench import herd, linkload, procfs
from bench.cases import FRAME_BYTES, say
from bench.child import Lines, LoadFailed, LoadProcess
from bench.cluster_rig import ClusterRig
from bench.floor import measure_floor
from bench.orders import Connected, OpenSpeakers, Speak, Spoken
from bench.search import RateSearch
from bench.servers.started import NotStarted
from bench.sheet import Sheet
from bench.verdict import FLOOR, ROOM
from shard_router.placement import changed_slots, place
from shard_router.slots import slot_of
from tests.support.fleet import HOST, NodeFailed
from wire.limits import SHARDS_MAX, SLOT_COUNT
from wire.names import RoomName, ShardId

PAYLOAD_BYTES: Final = 128
ANSWER_WAIT_S: Final = 12.0
LEAD_S: Final = 0.2
FLOOR_SUBSCRIBERS: Final = 3000
FLOOR_S: Final = 1.0
STORM_EACH: Final = 5000
STORM_GATEWAYS: Final = 3
STORM_ROOMS: Final = 50
# A talk that goes on while people come back, so that there is something to resume.
STORM_RATE: Final = 0.4
STORM_DEADLINE_S: Final = 25.0
LINKS: Final = 3
LINK_WINDOW: Final = 1500
EDGE_ROOMS: Final = 120
EDGE_FIRST_RATE: Final = 8400.0
EDGE_P99_MS_MAX: Final = 500.0
PAUSE_ROOMS: Final = 30
PAUSE_RATE: Final = 20.0
ROOMS_MOVED: Final = 6
# More than a tail holds, so that each room is as heavy to load as a room can be by its events.
FULL_ROOM_EVENTS: Final = 1100
FILL_RATE: Final = 100.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each part takes."""

    links_warm_s: float
    links_s: float
    edge_s: float
    edge_steps: int
    light_s: float


FULL = Pace(links_warm_s=2.0, links_s=8.0, edge_s=5.0, edge_steps=5, light_s=10.0)
QUICK = Pace(links_warm_s=1.5, links_s=3.0, edge_s=3.0, edge_steps=3, light_s=4.0)


class ClusterBench:
    """Carries out cases and writes what they gave into the sheet."""

    def __init__(self, sheet: Sheet, pace: Pace, work_dir: Path) -> None:
        self._sheet = sheet
        self._pace = pace
        self._work_dir = work_dir
        self._rigs_started = 0
        self._edge_rate: float | None = None

    def attempt(self, part: str, measure: Callable[[], None]) -> None:
        """A part that cannot be measured is a failure of the run; the others are measured all the same."""
        try:
            measure()
        except (LoadFailed, NodeFailed, NotStarted, msgspec.DecodeError) as error:
            say(f"{part} FAILED: {error}")
            self._sheet.failures.append(f"{part}: {error}")

    def _rig(self, *, shards: int, gateways: int, settings: dict[str, str] | None = None) -> ClusterRig:
        self._rigs_started += 1
        return ClusterRig(self._work_dir / f"rig-{self._rigs_started}", shards=shards, gateways=gateways, settings=settings)

    def floor(self) -> None:
        result = measure_floor(FLOOR_SUBSCRIBERS, FRAME_BYTES, FLOOR_S, 1)
        self._sheet.add(FLOOR, ROOM, "deliveries_per_cpu_s", result.deliveries_per_cpu_s)
        say(f"floor: {result.deliveries_per_cpu_s:,.0f} deliveries per CPU-second")

    # --- how slots are shared out --------------------------------------------------------------------

    def balance(self) -> None:
        """Pure: the worst of all sizes."""
        worst_share = worst_moved = 0.0
        before = None
        for count in range(1, SHARDS_MAX + 1):
            after = place(count, {ShardId(f"shard-{number}"): 100 for number in range(1, count + 1)})
            if before is not None:
                most = max(len(after.slots_of(shard)) for shard in after.shards)
                worst_share = max(worst_share, most * count / SLOT_COUNT)
                moved = len(changed_slots(before, after)) / SLOT_COUNT
                worst_moved = max(worst_moved, (moved - 1 / count) * 100)
            before = after
        self._sheet.add(verdict.BALANCE, "all", "max_over_mean", worst_share)
        self._sheet.add(verdict.BALANCE, "all", "moved_beyond_percent", worst_moved)

    # --- commits ---------------------------------------------------------------------------------------

    def links(self) -> None:
        """One shard and its store, commands straight from links."""
        refused = 0
        for rooms in (30, 300):
            with self._rig(shards=1, gateways=0) as rig:
                order = linkload.Order(
                    host=HOST, port=rig.port_of("shard-1"), secret_file=str(rig.link_secret),
                    rooms=[f"bench/r{number:03d}" for number in range(rooms)], links=LINKS, window=LINK_WINDOW,
                    warm_s=self._pace.links_warm_s, seconds=self._pace.links_s, payload_bytes=PAYLOAD_BYTES, run="links",
                )  # fmt: skip
                load = Lines("bench.linkload", order)
                shard, redis = rig.pids("shard-1"), [rig.redis.pid]
                began, shard_cpu, redis_cpu = time.monotonic(), procfs.cpu_seconds(shard), procfs.cpu_seconds(redis)
                try:
                    report = load.wait(linkload.Report)
                finally:
                    load.end()
                took_s = time.monotonic() - began
                shard_share = (procfs.cpu_seconds(shard) - shard_cpu) / took_s
                redis_share = (procfs.cpu_seconds(redis) - redis_cpu) / took_s
            where = f"{rooms} rooms"
            self._add(
                verdict.LINKS, where, per_s=report.committed_per_s, p50_ms=report.p50_ms, p99_ms=report.p99_ms,
                shard_cpu_us=shard_share * 1e6 / report.committed_per_s if report.committed else 0.0,
            )  # fmt: skip
            refused += report.refused + report.unknown
            say(
                f"links, {where}: {report.committed_per_s:,.0f} committed/s, p50 {report.p50_ms:.0f}, p99 {report.p99_ms:.0f} ms;"
                f" CPU of shard {shard_share:.2f}, of Redis {redis_share:.2f}, of load {report.cpu_s / report.seconds:.2f}"
            )
        self._add(verdict.LINKS, "all", refused=refused)

    # --- through the whole path ----------------------------------------------------------------------------

    def edge(self) -> None:
        """Two gateways, one shard; the highest rate at which everything is acknowledged and its p99 stays in bounds."""
        with self._rig(shards=1, gateways=2) as rig:
            sides = _Speakers(rig, EDGE_ROOMS)
            try:
                if self._edge_rate is None:
                    search = RateSearch(EDGE_FIRST_RATE, self._pace.edge_steps)
                    while (rate := search.next_rate()) is not None:
                        search.tell(self._edge_step(sides, rate) > 0)
                    self._edge_rate = search.best or 0.0
                per_s = 0.0
                rate = self._edge_rate
                for _ in range(4):
                    per_s = self._edge_step(sides, rate) if rate else 0.0
                    if per_s:
                        break
                    rate *= 0.9
            finally:
                sides.end()
        self._add(verdict.EDGE, "all", per_s=per_s)

    def _edge_step(self, sides: "_Speakers", rate: float) -> float:
        """Acknowledged a second, or 0 when it did not hold."""
        spoken = sides.speak(rate, self._pace.edge_s)
        sent, acked = sum(one.sent for one in spoken), sum(one.acknowledged for one in spoken)
        p99_ms = max(one.ack_p99_ms for one in spoken)
        late_ms = max(one.late_p99_ms for one in spoken)
        held = sent == acked and p99_ms < EDGE_P99_MS_MAX and late_ms < EDGE_P99_MS_MAX
        say(
            f"websockets at {rate:,.0f}/s: {acked} of {sent} acknowledged, p50 {max(one.ack_p50_ms for one in spoken):.1f} ms,"
            f" p99 {p99_ms:.1f} ms, load late by {late_ms:.1f} ms (p99), load CPU {sum(one.cpu_s for one in spoken):.1f} s"
            f"{'' if held else ' NOT HELD'} {_refusals(spoken)}"
        )
        return acked / self._pace.edge_s if held else 0.0

    def light(self) -> None:
        """100 publishes a second in ten rooms: what a person feels."""
        with self._rig(shards=1, gateways=1) as rig:
            sides = _Speakers(rig, 10)
            try:
                sides.speak(100.0, 1.0)
                (spoken,) = sides.speak(100.0, self._pace.light_s)
            finally:
                sides.end()
        self._add(verdict.LIGHT, "all", p50_ms=spoken.ack_p50_ms, p99_ms=spoken.ack_p99_ms)
        say(f"light load: p50 {spoken.ack_p50_ms:.2f} ms, p99 {spoken.ack_p99_ms:.2f} ms")

    # --- pauses -----------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Three shards; one is killed, comes back, and then slots move by an operator's word."""
        with self._rig(shards=3, gateways=2) as rig:
            sides = _Speakers(rig, PAUSE_ROOMS)
            try:
                sides.speak(PAUSE_RATE * PAUSE_ROOMS, 1.0)
                killed = sides.speak(PAUSE_RATE * PAUSE_ROOMS, 6.0, meanwhile=lambda: rig.fleet.kill("shard-2"))
                rig.fleet.start("shard-2")
                rig.wait_owning("shard-2")
                rooms = sides.rooms[:ROOMS_MOVED]
                moved = sides.speak(PAUSE_RATE * PAUSE_ROOMS, 6.0, meanwhile=lambda: _move(rig, rooms, "shard-1"))
            finally:
                sides.end()
        lost = sum(one.sent - one.acknowledged for one in (*killed, *moved))
        kill_s, move_ms = max(one.ack_max_ms for one in killed) / 1e3, max(one.ack_max_ms for one in moved)
        self._add(verdict.PAUSE, "kill", longest_s=kill_s)
        self._add(verdict.PAUSE, "move", longest_ms=move_ms)
        self._add(verdict.PAUSE, "all", lost=lost)
        faults = _refusals([*killed, *moved])
        say(f"pause: {kill_s:.2f} s after kill -9, {move_ms:.0f} ms after a move; {lost} not acknowledged {faults}")

    def full_rooms(self) -> None:
        """Thirty rooms with full tails change hands at once: all are to be loaded before the last can speak again."""
        with self._rig(shards=2, gateways=2) as rig:
            sides = _Speakers(rig, PAUSE_ROOMS)
            try:
                _move(rig, sides.rooms, "shard-1")
                filled = sides.speak(FILL_RATE * PAUSE_ROOMS, FULL_ROOM_EVENTS / FILL_RATE)
                moved = sides.speak(PAUSE_RATE * PAUSE_ROOMS, 6.0, meanwhile=lambda: _move(rig, sides.rooms, "shard-2"))
            finally:
                sides.end()
        lost = sum(one.sent - one.acknowledged for one in (*filled, *moved))
        move_ms = max(one.ack_max_ms for one in moved)
        self._add(verdict.FULL_ROOMS, "all", longest_ms=move_ms, lost=lost)
        say(f"30 full rooms move at once: {move_ms:.0f} ms; {lost} not acknowledged {_refusals([*filled, *moved])}")

    # --- a gateway's death -----------------------------------------------------------------------------------------

    def storm(self) -> None:
        """Kill one of three gateways, and watch its people come back."""
        with self._rig(shards=2, gateways=STORM_GATEWAYS) as rig:
            rooms = [f"bench/r{number:03d}" for number in range(STORM_ROOMS)]
            order = herd.Order(HOST, [rig.port_of(name) for name in rig.gateways], rooms, STORM_EACH)
            crowd = Lines("bench.herd", order)
            speak = LoadProcess("bench.speak")
            try:
                crowd.wait(herd.Gathered)
                port = rig.port_of("gateway-1")
                speak.order(OpenSpeakers(host=HOST, port=port, rooms=rooms, connections=STORM_ROOMS), Connected)
                seconds = STORM_DEADLINE_S / 2
                speak.send(Speak(
                    start=time.monotonic() + LEAD_S, rate=STORM_RATE, seconds=seconds, payload_bytes=PAYLOAD_BYTES,
                    answer_wait_s=ANSWER_WAIT_S,
                ))  # fmt: skip
                self._let_pass(crowd, 3.0)
                attaches = rig.attaches()
                killed_at = time.monotonic()
                rig.fleet.kill(rig.gateways[-1])
                pulse = self._let_pass(crowd, 2.0)
                while pulse.away and time.monotonic() < killed_at + STORM_DEADLINE_S:
                    pulse = crowd.wait(herd.Pulse)
                spoken = speak.wait(Spoken)
                self._let_pass(crowd, 1.0)
                attaches = rig.attaches() - attaches
                crowd.tell(f"report {killed_at}")
                report = self._report(crowd)
            finally:
                crowd.end()
                speak.end()
        heads = [max(offsets) for offsets in spoken.offsets]
        behind = sum(head - offset for head, offset in zip(heads, report.behind, strict=True) if offset < head)
        faulty = report.lost - report.resumed + report.not_recovered + report.events_lost + report.events_repeated + behind
        faulty += spoken.sent - spoken.acknowledged + (report.lost < STORM_EACH)
        each = attaches / (STORM_ROOMS * (STORM_GATEWAYS - 1))
        self._add(
            verdict.STORM, "all", p50_s=report.p50_s, p99_s=report.p99_s, longest_s=report.longest_s, faulty=faulty,
            attaches=each, unopened=report.attempts_failed, busy=report.refused_busy,
        )  # fmt: skip
        say(
            f"gateway dies: {report.resumed} of {report.lost} back, p50 {report.p50_s:.2f} s, p99 {report.p99_s:.2f} s,"
            f" last {report.longest_s:.2f} s; {report.attempts_failed} handshakes never opened, {report.refused_busy} told busy,"
            f" {report.not_recovered} not recovered, {report.events_lost} lost, {report.events_repeated} repeated,"
            f" {behind} behind; {attaches:.0f} attaches"
        )

    def _let_pass(self, crowd: Lines, seconds: float) -> herd.Pulse:
        until = time.monotonic() + seconds
        pulse = crowd.wait(herd.Pulse)
        while time.monotonic() < until:
            pulse = crowd.wait(herd.Pulse)
        return pulse

    def _report(self, crowd: Lines) -> herd.Report:
        while True:
            line = crowd.wait(herd.Said)
            if isinstance(line, herd.Report):
                return line

    def _add(self, who: str, where: str, **values: float) -> None:
        for figure, value in values.items():
            self._sheet.add(who, where, figure, value)


class _Speakers:
    """A publishing process for each gateway; the rooms are shared out among them."""

    def __init__(self, rig: ClusterRig, rooms: int) -> None:
        self.rooms = [f"bench/r{number:03d}" for number in range(rooms)]
        count = len(rig.gateways)
        self._parts = [self.rooms[number::count] for number in range(count)]
        self._sides = [LoadProcess("bench.speak") for _ in rig.gateways]
        for side, part, gateway in zip(self._sides, self._parts, rig.gateways, strict=True):
            side.order(OpenSpeakers(host=HOST, port=rig.port_of(gateway), rooms=part, connections=len(part)), Connected)

    def speak(self, rate: float, seconds: float, meanwhile: Callable[[], object] | None = None) -> list[Spoken]:
        """`rate` publishes a second over all rooms; `meanwhile` happens after a third of the time."""
        start = time.monotonic() + LEAD_S
        for side in self._sides:
            side.send(Speak(
                start=start, rate=rate / len(self.rooms), seconds=seconds, payload_bytes=PAYLOAD_BYTES,
                answer_wait_s=ANSWER_WAIT_S,
            ))  # fmt: skip
        if meanwhile is not None:
            time.sleep(LEAD_S + seconds / 3)
            meanwhile()
        return [side.wait(Spoken) for side in self._sides]

    def end(self) -> None:
        for side in self._sides:
            side.end()


def _move(rig: ClusterRig, rooms: list[str], shard: str) -> None:
    """Have a shard take over these rooms by an operator's word; returns when it has."""
    slots = sorted({str(slot_of(RoomName(room))) for room in rooms})
    done = rig.fleet.parvis("cluster", "move", *slots, "--to", shard)
    if done.returncode != 0:
        raise LoadFailed(f"parvis cluster move: {done.stderr}")


def _refusals(spoken: list[Spoken]) -> str:
    refused: dict[str, int] = {}
    for one in spoken:
        for code, count in one.refused.items():
            refused[code] = refused.get(code, 0) + count
        if one.unanswered:
            refused["unanswered"] = refused.get("unanswered", 0) + one.unanswered
    return ", ".join(f"{count} {code}" for code, count in refused.items())
