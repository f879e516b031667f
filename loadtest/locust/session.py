"""One worker's conversation with a stock locust master: words in, words and wishes out.  Pure.

    worker  client_ready             again every ANNOUNCE_S until somebody answers
    master  ack                      with the worker's index
    worker  heartbeat                once a second, answered by the master
    master  spawn                    users of each class in all: again for every step of a ramp
    worker  spawning ... spawning_complete
    worker  stats                    once a second
    master  stop
    worker  client_stopped, client_ready
    master  quit, or worker quit

Rules that locust does not write down: a master knows a worker only by its `client_ready`, and
neither answers nor keeps one it does not know; its heartbeats are answered, so silence means that
it is gone or was started anew; and `spawning` from a worker it does not know makes it say `quit`.
So after SILENT_S without an answer we stop our users and come again, by another name: the old
one may be taken for as long as a master has not seen its connection end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from loadtest.locust.words import FOREIGN_VERSION, READY, RUNNING, SPAWNING, Job, NotLocust, Said, job_of

ANNOUNCE_S: Final = 5.0
# As long as locust's own workers look for a master.
GIVE_UP_S: Final = 300.0
HEARTBEAT_S: Final = 1.0
# A master calls us missing after four of its seconds; locust's own workers wait 60 s for it, under load all that time.
SILENT_S: Final = 10.0
# Users that have not all come after so long without one more are not waited for: some ended by themselves.
SPAWN_PATIENCE_S: Final = 2.0

# Words that only the locustfile which we write knows (`loadtest/locust/locustfile.py`).
WORKERS_WORD: Final = "parvis_workers"
"""From the master: how many workers the run has."""
SETTLE_WORD: Final = "parvis_settle"
"""From the master: the run is about to end, close the audits."""
SETTLED_WORD: Final = "parvis_settled"
"""The answer, when the last figures were told."""


@dataclass(frozen=True, slots=True)
class Stop:
    """All users leave; `stopped` follows.  `why` is for the log."""

    why: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The master has no more work for this process."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No master has answered for GIVE_UP_S."""


@dataclass(frozen=True, slots=True)
class Redial:
    """The connection itself shall be made anew, by this name; what waits for the old one is void."""

    node: str


@dataclass(frozen=True, slots=True)
class Shared:
    """The number of workers of the run has changed."""

    workers: int


Wish = Job | Stop | Leave | GiveUp | Redial | Shared


class LocustSession:
    """`outbox`, `wishes` and `news` are what comes out, taken by the owner after each call.

    `now` is in seconds of any clock that only grows.
    """

    def __init__(self, name: str, classes: frozenset[str], now: float) -> None:
        """No two workers have one name, ``host_4f2a``; `classes` are the user classes of its scenario."""
        self.node = name
        """As the master knows it: the name, and a number from the second time on that it comes."""
        self.outbox: list[Said] = []
        self.wishes: list[Wish] = []
        self.news: list[str] = []
        """Plain sentences for the log."""
        self.index: int | None = None
        """The worker's number, from 0; None until a master has answered."""
        self.state = READY
        self.heard_at = now
        """When the master last answered, or when we began to look for it."""
        self._name = name
        self._came = 1
        self._announcements = 0
        self._classes = classes
        self._is_known = False
        self._announce_at = self._heartbeat_at = self._ticked_at = now
        self._last_job_at = 0.0
        self._wanted: dict[str, int] = {}
        self._users = 0
        self._grew_at: float | None = None
        """When their number last changed; None: nobody has counted since the last job."""
        self._complained: set[str] = set()
        self._is_settling = False

    @property
    def is_known(self) -> bool:
        """Whether a master has answered, and not fallen silent since."""
        return self._is_known

    # --- from the master ----------------------------------------------------------------------------------

    def heard(self, said: Said, now: float) -> None:
        """One message; raises `NotLocust` for one that lacks what its kind has."""
        self.heard_at = now
        match said.type:
            case "ack":
                self._acknowledged(said)
            case "spawn":
                self._spawn(job_of(said), now)
            case "stop":
                self._is_settling = False
                self.wishes.append(Stop("the locust master says stop"))
            case kind if kind == SETTLE_WORD:
                self._is_settling = True
                self.wishes.append(Stop("the locust master ends the run"))
            case "quit":
                self.wishes.append(Leave())
            case "reconnect":
                self._come_again("the locust master did not understand us and wants a new connection")
            case kind if kind == WORKERS_WORD:
                self._shared(said)
            case _:
                # `heartbeat` has done its work; nothing hangs on `spawning_complete`, or on what other locustfiles say.
                return

    def _acknowledged(self, said: Said) -> None:
        if not self._is_known:
            self.news.append("the locust master has answered; it decides from here on")
        self._is_known = True
        self._announcements = 0
        if isinstance(said.data, dict) and isinstance(said.data.get("index"), int):
            self.index = said.data["index"]

    def _spawn(self, job: Job, now: float) -> None:
        self._say("spawning", None)
        if job.at <= self._last_job_at:
            return
        self._last_job_at = job.at
        for name in sorted(set(job.users) - self._classes - self._complained):
            if job.users[name]:
                self._complained.add(name)
                self.failed(
                    f"the scenario of this worker has no user class {name}: give the locust master "
                    "the file that parvis loadtest --print-locustfile prints for the same scenario"
                )
        self._wanted = {name: count for name, count in job.users.items() if name in self._classes}
        self.state = SPAWNING
        self._grew_at = None
        self.wishes.append(replace(job, users=self._wanted))

    def _shared(self, said: Said) -> None:
        workers = said.data.get("workers") if isinstance(said.data, dict) else None
        if not isinstance(workers, int) or workers < 1:
            raise NotLocust(f"{WORKERS_WORD} without a number of workers")
        self.wishes.append(Shared(workers))

    # --- from the owner -------------------------------------------------------------------------------------

    def tick(self, now: float, cpu_percent: float, memory_bytes: int) -> None:
        """Called some times a second, with how this process is doing: of one core, and resident."""
        # While we ourselves stood still nobody was asked, so nobody was silent.
        self.heard_at += max(0.0, now - self._ticked_at - HEARTBEAT_S)
        self._ticked_at = now
        if self._is_known and now - self.heard_at > SILENT_S:
            self._come_again(f"the locust master has said nothing for {SILENT_S:g} s: it is looked for again")
        if self._is_known and now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT_S
            doing = {"current_cpu_usage": cpu_percent, "current_memory_usage": memory_bytes}
            self._say("heartbeat", {"state": self.state, **doing})
        elif not self._is_known and self.state == READY and now >= self._announce_at:
            self._announce(now)

    def _announce(self, now: float) -> None:
        self._announce_at = now + ANNOUNCE_S
        if now - self.heard_at > GIVE_UP_S:
            self.wishes.append(GiveUp())
        self._announcements += 1
        if self._announcements == 2:
            self.news.append("no locust master answers yet: it is asked again and again for five minutes")
        self._say("client_ready", FOREIGN_VERSION)

    def have(self, users: Mapping[str, int], now: float) -> None:
        """The users that live now.  Spawning is complete when they are as many as were asked for, or no more come."""
        if sum(users.values()) != self._users or self._grew_at is None:
            self._users, self._grew_at = sum(users.values()), now
        if self.state != SPAWNING:
            return
        are_there = all(users.get(name, 0) == count for name, count in self._wanted.items())
        if are_there or now - self._grew_at > SPAWN_PATIENCE_S:
            self.state = RUNNING
            self._say("spawning_complete", {"user_classes_count": dict(users), "user_count": self._users})

    def measured(self, body: Mapping[str, object]) -> None:
        """What `loadtest.locust.words.report` made of the last second; for the master whose run it is, and no other."""
        if self._is_known:
            self._say("stats", dict(body))

    def failed(self, sentence: str, traceback: str = "") -> None:
        """Something for the master's page of exceptions."""
        if self._is_known:
            self._say("exception", {"msg": sentence, "traceback": traceback})

    def stopped(self) -> None:
        """All users have left and the last figures were told: free for another run, or for the end of this one."""
        if self._is_settling:
            self._is_settling = False
            self._say(SETTLED_WORD, None)
            return
        self.state = READY
        self._wanted = {}
        if self._is_known:
            self._say("client_stopped", None)
            self._say("client_ready", FOREIGN_VERSION)

    def leave(self) -> None:
        """All users have left, and this worker goes by its own wish."""
        self._is_known = False
        self._say("quit", None)

    # --- inside -----------------------------------------------------------------------------------------------

    def _say(self, kind: str, body: object) -> None:
        self.outbox.append(Said(kind, body, self.node))

    def _come_again(self, why: str) -> None:
        """What still waits to be sent was meant for that master: a new one would add it to its own figures."""
        self.news.append(why)
        self._is_known = self._is_settling = False
        self._last_job_at = 0.0
        self._came += 1
        self.node = f"{self._name}-{self._came}"
        self.outbox.clear()
        self.wishes.append(Redial(self.node))
        if self.state != READY:
            self.wishes.append(Stop(why))
