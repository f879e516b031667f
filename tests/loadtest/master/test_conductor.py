"""What a master decides, from the first worker to the last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.figures.messages import (
    Beat,
    Ended,
    Failed,
    Finish,
    Goal,
    Health,
    Hello,
    Hit,
    Hush,
    Hushed,
    MasterMessage,
    Prepare,
    Probe,
    Probed,
    Quit,
    Ready,
    Start,
    WorkerMessage,
)
from loadtest.master.conductor import HUSH_SLACK_S, LEAVE_SLACK_S, SILENT_S, START_LEAD_S, Conductor, RunPlan
from loadtest.master.seats import ALIVE
from loadtest.master.steering import NotNow
from loadtest.people.shapes import Load, LoadTestShape, Steady
from loadtest.workers.dispatch import Dispatch, Kind

SECOND_US = 1_000_000
HEADS = {"square/main": ("epoch", 7)}


class Rig:
    """A conductor with a clock, and everything it has said."""

    def __init__(
        self, workers: int = 2, *, shape: LoadTestShape | None = None, users: int = 10, waits: bool = False,
        run_time_s: float | None = None, workers_wait_s: float | None = None, clients_max: int = 1000,
    ) -> None:  # fmt: skip
        self.now_us = 10**9
        self.clients_max = clients_max
        self.said: list[tuple[int, MasterMessage]] = []
        if shape is None:
            shape = Steady()
            shape.users, shape.spawn_rate, shape.run_time_s = users, 4.0, None
        plan = RunPlan(workers, not waits, run_time_s, 2.0, 5.0, workers_wait_s)
        dispatch = Dispatch([Kind("Citizen", 1.0)])
        self.it = Conductor(plan, shape, dispatch, self._prepare, lambda: HEADS, self.now_us)

    def _prepare(self, index: int) -> Prepare:
        return Prepare(f"run-{index}", 1, ["ws://h"], [], [], [], 100.0, {})

    def join(self, index: int) -> None:
        hello = Hello(1, "0.1", f"w-{index}", "h", "b", 1, 2, "s", self.clients_max, b"", b"")
        self.it.joined(index, hello, self.now_us)
        self._take()

    def hear(self, index: int, message: WorkerMessage) -> None:
        self.it.heard(index, message, self.now_us)
        self._take()

    def beat(self, index: int, users: int) -> None:
        self.hear(index, Beat(1, self.now_us, {"Citizen": users}, users, {}, [], {}, [], [], [], {}, Health(0, 0, 0, 0, 0)))

    def pass_(self, seconds: float, *living: int) -> None:
        """Time goes by in steps of a quarter second; who lives answers."""
        for _ in range(round(seconds * 4)):
            self.now_us += SECOND_US // 4
            for index in living:
                self.hear(index, Probed(1, 0))
            self.it.tick(self.now_us)
            self._take()

    def running(self, *workers: int) -> "Rig":
        for index in workers:
            self.join(index)
        for index in workers:
            self.hear(index, Ready())
        self.pass_(1, *workers)
        return self

    def told(self, index: int, kind: type[MasterMessage]) -> list[MasterMessage]:
        return [message for to, message in self.said if to == index and isinstance(message, kind)]

    def goal(self, index: int) -> dict[str, int]:
        goal = self.told(index, Goal)[-1]
        assert isinstance(goal, Goal)
        return goal.users

    def news(self) -> str:
        return "\n".join(text for _, text in self.it.news)

    def _take(self) -> None:
        self.said += self.it.outbox
        self.it.outbox.clear()


def test_nobody_begins_before_all_expected_workers_are_prepared() -> None:
    rig = Rig(2)
    rig.join(0)
    rig.join(1)
    assert rig.said[0] == (0, Prepare("run-0", 1, ["ws://h"], [], [], [], 100.0, {}))
    rig.hear(0, Ready())
    assert (rig.it.phase, rig.told(0, Start)) == ("waiting", [])
    rig.hear(1, Ready())
    begins = Start(rig.now_us + round(START_LEAD_S * SECOND_US))
    assert rig.told(0, Start) == rig.told(1, Start) == [begins]
    assert [rig.goal(0), rig.goal(1)] == [{"Citizen": 5}, {"Citizen": 5}]


def test_a_run_that_waits_for_a_person_begins_with_the_persons_numbers() -> None:
    rig = Rig(1, waits=True)
    with pytest.raises(NotNow, match="not all workers"):
        rig.it.start(3, 1.0, rig.now_us)
    rig.running(0)
    assert (rig.it.phase, rig.told(0, Start)) == ("ready", [])
    rig.it.start(3, 1.0, rig.now_us)
    rig.pass_(1, 0)
    assert rig.goal(0) == {"Citizen": 3}
    with pytest.raises(NotNow, match="begun already"):
        rig.it.start(3, 1.0, rig.now_us)


def test_workers_that_do_not_come_are_waited_for_so_long() -> None:
    rig = Rig(2, workers_wait_s=5)
    rig.join(0)
    rig.hear(0, Ready())
    rig.pass_(5.5, 0)
    assert rig.it.failure is not None
    assert (rig.it.failure.code, rig.it.phase) == (3, "ended")
    assert "1 of 2 workers" in rig.it.failure.sentence
    assert rig.told(0, Quit) == [Quit()]


def test_it_is_spawning_until_all_users_are_there() -> None:
    rig = Rig(2).running(0, 1)
    rig.beat(0, 5)
    assert rig.it.phase == "spawning"
    rig.beat(1, 5)
    assert rig.it.phase == "running"


def test_a_lost_workers_share_goes_to_the_others_at_once() -> None:
    rig = Rig(3, users=9).running(0, 1, 2)
    for index in range(3):
        rig.beat(index, 3)
    rig.it.lost(1, "the connection ended", rig.now_us)
    rig._take()
    assert [rig.goal(0), rig.goal(2)] in ([{"Citizen": 5}, {"Citizen": 4}], [{"Citizen": 4}, {"Citizen": 5}])
    assert "w-1 is lost with 3 users: the connection ended; the other 2 workers share it" in rig.news()
    assert (rig.it.phase, rig.it.seats.users, rig.it.invalid) == ("spawning", 6, [])
    rig.it.lost(1, "again", rig.now_us)
    assert "again" not in rig.news()


def test_while_the_master_itself_stood_still_nobody_was_silent() -> None:
    rig = Rig(2, run_time_s=1000).running(0, 1)
    rig.now_us += 60 * SECOND_US
    rig.it.tick(rig.now_us)
    assert rig.it.seats.having(*ALIVE) == [0, 1]
    rig.it.stop("over", rig.now_us)
    rig.now_us += 60 * SECOND_US
    rig.it.tick(rig.now_us)
    assert rig.it.seats.having(*ALIVE) == [0, 1], "nor late"


@pytest.mark.parametrize(("code", "ends_with"), [(2, 2), (4, 4), (0, 3), (1, 3), (99, 3)])
def test_no_word_of_a_worker_makes_a_run_that_was_none_a_success(code: int, ends_with: int) -> None:
    rig = Rig(1)
    rig.join(0)
    rig.hear(0, Failed("I do not want to", code))
    assert rig.it.failure == Failed("I do not want to", ends_with)


def test_a_silent_worker_is_lost() -> None:
    rig = Rig(2).running(0, 1)
    rig.pass_(SILENT_S + 0.5, 0)
    assert "w-1 is lost with 0 users: it has said nothing for 6 s; the other worker takes its share" in rig.news()
    assert rig.goal(0) == {"Citizen": 10}
    assert rig.told(1, Quit) == [Quit()]


def test_who_waits_is_asked_once_a_second_whether_it_lives() -> None:
    rig = Rig(2)
    rig.join(0)
    began_us = rig.now_us
    rig.pass_(10, 0)
    probes = [probe.n for probe in rig.told(0, Probe) if isinstance(probe, Probe)]
    # Each says when it was sent.
    assert probes == [began_us + SECOND_US // 4 + n * SECOND_US for n in range(10)]
    assert rig.it.phase == "waiting"


def test_the_last_workers_loss_makes_the_run_invalid() -> None:
    rig = Rig(1).running(0)
    rig.it.lost(0, "killed", rig.now_us)
    assert rig.it.phase == "ended"
    assert rig.it.invalid == ["no worker was left: w-0 was the last (killed)"]


def test_a_share_that_the_others_cannot_carry_makes_the_run_invalid() -> None:
    rig = Rig(2, users=10, clients_max=6).running(0, 1)
    rig.it.lost(1, "killed", rig.now_us)
    assert rig.it.phase == "stopping"
    assert "leaves 6 for 1 worker: raise it (ulimit -n)" in rig.it.invalid[0]


def test_too_many_users_for_the_descriptors_are_refused_before_anybody_comes() -> None:
    rig = Rig(2, users=13, clients_max=6).running(0, 1)
    assert rig.it.failure is not None
    assert rig.it.failure.code == 2
    assert "13 users need a socket each, and the limit of open files leaves 12 for 2 workers" in rig.it.failure.sentence
    assert not rig.told(0, Goal)


def test_a_worker_lost_before_the_run_is_waited_for_again() -> None:
    rig = Rig(2, waits=True).running(0, 1)
    rig.it.lost(1, "killed", rig.now_us)
    assert rig.it.phase == "waiting"
    rig.join(2)
    rig.hear(2, Ready())
    assert rig.it.phase == "ready"


def test_a_worker_that_cannot_prepare_ends_the_run_with_its_sentence() -> None:
    rig = Rig(2)
    rig.join(0)
    rig.join(1)
    rig.hear(1, Failed("10.0.0.9 is no address of this machine", 2))
    assert rig.it.failure == Failed("10.0.0.9 is no address of this machine", 2)
    assert rig.told(0, Quit) == [Quit()]


def test_a_worker_that_fails_in_mid_run_is_lost() -> None:
    rig = Rig(2).running(0, 1)
    rig.hear(1, Failed("out of memory", 3))
    assert rig.it.failure is None
    assert "w-1 is lost" in rig.news()
    assert rig.goal(0) == {"Citizen": 10}


def test_a_worker_that_joins_in_mid_run_gets_a_share() -> None:
    rig = Rig(1).running(0)
    rig.join(1)
    rig.hear(1, Ready())
    assert rig.told(1, Start) == rig.told(0, Start)
    assert [rig.goal(0), rig.goal(1)] == [{"Citizen": 5}, {"Citizen": 5}]


def test_users_can_be_edited_while_it_runs_and_at_no_other_time() -> None:
    rig = Rig(1, users=2)
    with pytest.raises(NotNow, match="while the run is on"):
        rig.it.edit(5, 1.0, rig.now_us)
    rig.running(0)
    rig.it.edit(5, 1.0, rig.now_us)
    rig._take()
    assert rig.goal(0) == {"Citizen": 5}


class Steps(LoadTestShape):
    """Two more users each second, up to six, then the end."""

    def tick(self) -> Load | None:
        at_s = self.get_run_time()
        return None if at_s >= 4 else Load(2 + 2 * int(at_s), 2.0)


class Wrong(LoadTestShape):
    def tick(self) -> tuple[int]:  # type: ignore[override]  # that is the case
        return (1,)


def test_a_shape_is_asked_once_a_second_and_ends_the_run() -> None:
    rig = Rig(1, shape=Steps()).running(0)
    rig.pass_(3, 0)
    goals = [goal.users["Citizen"] for goal in rig.told(0, Goal) if isinstance(goal, Goal)]
    assert goals == [2, 4, 6, 8]
    rig.pass_(1, 0)
    assert rig.it.phase == "stopping"
    assert "its shape is over" in rig.news()
    with pytest.raises(NotNow, match="while the run is on"):
        rig.it.edit(5, 1.0, rig.now_us)


def test_nobody_edits_what_a_shape_decides() -> None:
    rig = Rig(1, shape=Steps()).running(0)
    with pytest.raises(NotNow, match="the shape Steps decides"):
        rig.it.edit(5, 1.0, rig.now_us)


def test_a_shape_that_answers_nonsense_ends_the_run_with_its_sentence() -> None:
    rig = Rig(1, shape=Wrong()).running(0)
    assert rig.it.failure is not None
    assert (rig.it.failure.code, rig.it.phase) == (2, "ended")
    assert "Wrong.tick answered (1,)" in rig.it.failure.sentence


def test_the_run_time_ends_it_whatever_the_shape_says() -> None:
    rig = Rig(1, run_time_s=2.5).running(0)
    rig.pass_(1.75, 0)
    assert rig.it.phase == "spawning"
    rig.pass_(0.5, 0)
    assert rig.it.phase == "stopping"
    assert rig.it.seconds(rig.now_us + 10**9) == pytest.approx(2.5, abs=0.3)


def test_all_fall_silent_before_audits_are_closed_and_all_leave_before_the_end() -> None:
    rig = Rig(2).running(0, 1)
    rig.it.stop("somebody says so", rig.now_us)
    rig._take()
    assert rig.told(0, Hush) == [Hush(2.0)]
    rig.hear(0, Hushed())
    assert not rig.told(0, Finish)
    rig.hear(1, Hushed())
    assert rig.told(0, Finish) == rig.told(1, Finish) == [Finish(HEADS, 5.0)]
    rig.hear(0, Ended())
    assert rig.it.phase == "stopping"
    rig.hear(1, Ended())
    assert rig.it.phase == "ended"
    assert rig.told(0, Quit) == rig.told(1, Quit) == [Quit()]
    rig.it.stop("again", rig.now_us)
    assert "again" not in rig.news()


def test_before_its_beginning_a_run_just_ends() -> None:
    rig = Rig(2)
    rig.join(0)
    rig.it.stop("somebody says so", rig.now_us)
    rig._take()
    assert (rig.it.phase, rig.told(0, Quit), rig.it.seconds(rig.now_us)) == ("ended", [Quit()], 0.0)


@pytest.mark.parametrize("is_hushed", [False, True])
def test_a_worker_that_does_not_end_in_time_is_lost_and_the_run_invalid(is_hushed: bool) -> None:
    rig = Rig(2).running(0, 1)
    rig.it.stop("over", rig.now_us)
    rig.hear(0, Hushed())
    if is_hushed:
        rig.hear(1, Hushed())
        rig.hear(0, Ended())
        rig.pass_(5 + LEAVE_SLACK_S + 1, 0, 1)
    else:
        rig.pass_(2 + HUSH_SLACK_S + 1, 0, 1)
        assert rig.told(0, Finish)
        rig.hear(0, Ended())
    assert rig.it.phase == "ended"
    assert "w-1 was lost while the run was ending" in rig.it.invalid[0]


def test_a_hit_is_dealt_out_over_the_workers() -> None:
    rig = Rig(3).running(0, 1, 2)
    rig.it.hit(Hit("slow", 4, 1.0))
    rig._take()
    assert sorted(message.count for to in range(3) for message in rig.told(to, Hit) if isinstance(message, Hit)) == [1, 1, 2]
    rig.it.hit(Hit("slow", 1, 1.0))
    rig._take()
    assert sum(len(rig.told(to, Hit)) for to in range(3)) == 4


_WORDS = st.sampled_from(["join", "ready", "lost", "hushed", "ended", "failed", "tick", "stop", "edit", "start", "silence"])


@given(st.lists(st.tuples(_WORDS, st.integers(0, 3)), max_size=40))
def test_whatever_happens_those_who_run_have_all_the_users_or_the_run_says_that_it_is_no_good(
    story: list[tuple[str, int]],
) -> None:
    rig = Rig(2, users=12)
    joined: set[int] = set()
    for word, index in story:
        if word == "join" and index not in joined:
            rig.join(index)
            joined.add(index)
        elif word == "lost" and index in joined:
            rig.it.lost(index, "killed", rig.now_us)
        elif word in ("ready", "hushed", "ended", "failed") and index in joined:
            rig.hear(index, {"ready": Ready(), "hushed": Hushed(), "ended": Ended(), "failed": Failed("no", 3)}[word])
        elif word == "tick":
            rig.pass_(1, *joined)
        elif word == "silence":
            rig.pass_(SILENT_S + 1)
        elif word == "stop":
            rig.it.stop("over", rig.now_us)
        elif word == "edit":
            try:
                rig.it.edit(12 + index, 1.0, rig.now_us)
            except NotNow:
                assert rig.it.phase not in ("spawning", "running")
        rig._take()
        running = [i for i in joined if rig.it.seats[i].state.value == "running"]
        if rig.it.phase in ("spawning", "running"):
            assert running
            assert sum(sum(rig.goal(i).values()) for i in running) == rig.it.load.users
        if rig.it.start_us is not None and not running and rig.it.phase == "ended" and rig.it.failure is None:
            left = [i for i in joined if rig.it.seats[i].state.value == "ended"]
            assert left or rig.it.invalid
