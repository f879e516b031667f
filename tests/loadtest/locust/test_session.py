"""A worker's conversation with a locust master, from the worker's side."""

import pytest

from loadtest.locust.session import (
    ANNOUNCE_S,
    GIVE_UP_S,
    SETTLE_WORD,
    SETTLED_WORD,
    SILENT_S,
    SPAWN_PATIENCE_S,
    WORKERS_WORD,
    GiveUp,
    Leave,
    LocustSession,
    Redial,
    Shared,
    Stop,
)
from loadtest.locust.words import READY, RUNNING, SPAWNING, Job, NotLocust, Said


class Talk:
    """A session, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.session = LocustSession("here_1", frozenset({"Citizen", "Reporter"}), self.now)

    def hear(self, kind: str, data: object = None) -> None:
        self.session.heard(Said(kind, data, "here_1"), self.now)

    def spawn(self, at: float = 1.0, **users: int) -> None:
        self.hear("spawn", {"timestamp": at, "user_classes_count": users, "host": None, "stop_timeout": 0})

    def pass_time(self, seconds: float) -> list[str]:
        """Tick five times a second; the types of what was said meanwhile."""
        for _ in range(round(seconds * 5)):
            self.now += 0.2
            self.session.tick(self.now, 12.5, 4096)
        return self.said()

    def said(self) -> list[str]:
        assert all(each.node == self.session.node for each in self.session.outbox)
        kinds = [each.type for each in self.session.outbox]
        self.session.outbox.clear()
        return kinds

    def wishes(self) -> list[object]:
        wished: list[object] = list(self.session.wishes)
        self.session.wishes.clear()
        return wished


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.fixture
def known(talk: Talk) -> Talk:
    talk.pass_time(0.2)
    talk.hear("ack", {"index": 3})
    talk.said()
    return talk


def test_it_announces_itself_until_somebody_answers(talk: Talk) -> None:
    assert talk.pass_time(2 * ANNOUNCE_S + 1) == ["client_ready"] * 3
    assert not talk.session.is_known
    assert talk.session.news == ["no locust master answers yet: it is asked again and again for five minutes"]
    talk.hear("ack", {"index": 3})
    assert (talk.session.is_known, talk.session.index) == (True, 3)
    assert set(talk.pass_time(ANNOUNCE_S)) == {"heartbeat"}


def test_it_does_not_look_for_a_master_for_ever(talk: Talk) -> None:
    talk.pass_time(GIVE_UP_S - ANNOUNCE_S)
    assert talk.wishes() == []
    talk.pass_time(2 * ANNOUNCE_S)
    assert talk.wishes()[0] == GiveUp()


def test_masters_that_send_no_index_are_understood(talk: Talk) -> None:
    talk.hear("ack")
    assert (talk.session.is_known, talk.session.index) == (True, None)


def test_it_beats_once_a_second_and_says_how_it_is(known: Talk) -> None:
    known.session.tick(known.now, 12.5, 4096)
    [said] = known.session.outbox
    assert said.data == {"state": READY, "current_cpu_usage": 12.5, "current_memory_usage": 4096}
    known.said()
    assert known.pass_time(3) == ["heartbeat"] * 3


def test_each_step_of_a_ramp_is_a_job_and_is_complete_when_the_users_are_there(known: Talk) -> None:
    known.spawn(1.0, Citizen=2, Reporter=0)
    assert known.session.state == SPAWNING
    [job] = known.wishes()
    assert job == Job(1.0, {"Citizen": 2, "Reporter": 0}, "", 0)
    known.session.have({"Citizen": 1}, known.now)
    assert known.said() == ["spawning"]
    known.session.have({"Citizen": 2}, known.now)
    [said] = known.session.outbox
    assert (said.type, said.data) == ("spawning_complete", {"user_classes_count": {"Citizen": 2}, "user_count": 2})
    assert known.session.state == RUNNING
    known.said()
    known.session.have({"Citizen": 2}, known.now)
    assert known.said() == []


def test_users_that_ended_by_themselves_are_not_waited_for(known: Talk) -> None:
    known.spawn(1.0, Citizen=3)
    known.pass_time(SPAWN_PATIENCE_S + 1)
    known.session.have({"Citizen": 2}, known.now)
    assert "spawning_complete" not in known.said()
    known.pass_time(SPAWN_PATIENCE_S + 0.2)
    known.session.have({"Citizen": 2}, known.now)
    assert known.said() == ["spawning_complete"]


def test_a_job_that_is_not_newer_is_void(known: Talk) -> None:
    known.spawn(2.0, Citizen=5)
    known.wishes()
    known.spawn(2.0, Citizen=9)
    known.spawn(1.0, Citizen=9)
    assert known.wishes() == []


def test_a_class_it_does_not_have_is_told_once_and_left_out(known: Talk) -> None:
    known.spawn(1.0, Citizen=1, Shopper=4, Nobody=0)
    known.spawn(2.0, Citizen=1, Shopper=8)
    told = [each.data["msg"] for each in known.session.outbox if each.type == "exception"]
    assert len(told) == 1
    assert "no user class Shopper" in told[0]
    assert "parvis loadtest --print-locustfile" in told[0]
    assert [job.users for job in known.wishes() if isinstance(job, Job)] == [{"Citizen": 1}] * 2
    known.session.have({"Citizen": 1}, known.now)
    assert known.session.state == RUNNING


def test_a_stop_makes_it_free_for_another_run(known: Talk) -> None:
    known.spawn(5.0, Citizen=1)
    known.hear("stop")
    assert isinstance(known.wishes()[-1], Stop)
    known.said()
    known.session.stopped()
    assert known.said() == ["client_stopped", "client_ready"]
    assert known.session.state == READY
    known.spawn(6.0, Citizen=2)
    assert known.session.state == SPAWNING


def test_audits_are_closed_before_the_end_of_the_run_and_it_is_said(known: Talk) -> None:
    known.spawn(5.0, Citizen=1)
    known.session.have({"Citizen": 1}, known.now)
    known.wishes()
    known.said()
    known.hear(SETTLE_WORD)
    assert [type(wish) for wish in known.wishes()] == [Stop]
    known.session.stopped()
    assert known.said() == [SETTLED_WORD]
    known.hear("stop")
    known.session.stopped()
    assert known.said() == ["client_stopped", "client_ready"]


def test_a_stop_while_audits_are_closed_is_what_counts(known: Talk) -> None:
    known.spawn(5.0, Citizen=1)
    known.said()
    known.hear(SETTLE_WORD)
    known.hear("stop")
    known.session.stopped()
    assert known.said() == ["client_stopped", "client_ready"]


def test_what_else_the_master_wants(known: Talk) -> None:
    known.hear("quit")
    known.hear(WORKERS_WORD, {"workers": 3})
    known.hear("spawning_complete", {"user_count": 3})
    known.hear("update_user_class", {"user_class_name": "Citizen"})
    assert known.wishes() == [Leave(), Shared(3)]
    known.session.leave()
    assert known.said() == ["quit"]


@pytest.mark.parametrize(("kind", "data"), [("spawn", None), (WORKERS_WORD, None), (WORKERS_WORD, {"workers": 0})])
def test_words_that_lack_something_are_refused(known: Talk, kind: str, data: object) -> None:
    with pytest.raises(NotLocust):
        known.hear(kind, data)


def test_a_silent_master_is_looked_for_again_when_all_users_have_left(known: Talk) -> None:
    known.spawn(5.0, Citizen=1)
    known.session.have({"Citizen": 1}, known.now)
    known.wishes()
    known.pass_time(SILENT_S + 1)
    redial, stop = known.wishes()
    assert redial == Redial("here_1-2")
    assert isinstance(stop, Stop)
    assert "has said nothing" in stop.why
    assert known.pass_time(2) == []
    known.session.measured({"stats": []})
    known.session.failed("of a run that no master knows any more")
    known.session.stopped()
    assert set(known.pass_time(ANNOUNCE_S)) == {"client_ready"}
    known.hear("ack", {"index": 0})
    # A master that was started anew may be behind the old one's clock.
    known.spawn(1.0, Citizen=2)
    assert [type(wish) for wish in known.wishes()] == [Job]


def test_one_without_users_just_announces_itself_again(known: Talk) -> None:
    known.pass_time(SILENT_S + 1)
    assert known.wishes() == [Redial("here_1-2")]
    assert "client_ready" in known.pass_time(ANNOUNCE_S)


def test_a_master_that_wants_a_new_connection_gets_one_by_a_new_name(known: Talk) -> None:
    known.hear("reconnect")
    assert known.wishes() == [Redial("here_1-2")]
    assert set(known.pass_time(ANNOUNCE_S)) == {"client_ready"}


def test_answers_of_the_master_keep_it(known: Talk) -> None:
    for _ in range(30):
        known.pass_time(1)
        known.hear("heartbeat")
    assert known.wishes() == []


def test_our_own_standstill_is_no_silence_of_the_master(known: Talk) -> None:
    known.now += 60
    assert known.pass_time(0.2) == ["heartbeat"]
    assert known.wishes() == []


def test_figures_and_failures_are_said(known: Talk) -> None:
    known.session.measured({"stats": []})
    known.session.failed("it broke", "line 3")
    assert [(each.type, each.data) for each in known.session.outbox] == [
        ("stats", {"stats": []}), ("exception", {"msg": "it broke", "traceback": "line 3"}),
    ]  # fmt: skip
