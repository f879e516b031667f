"""The session as a whole, against a gateway that loses, repeats, moves and breaks off at random.

Examples are the sessions of docs/protocol-vectors.json (tests/docs/test_protocol_vectors.py).
"""

from collections import deque
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from client.effects import Close, ConnectionId, Effect, Emit, Open, Send, Settle
from client.session import Session
from client.updates import Gap, Stopped
from wire.client_messages import (
    Ack,
    Event,
    Goaway,
    Hello,
    Join,
    Joined,
    JoinRequest,
    Leave,
    Left,
    Pong,
    Publish,
    Refused,
    Renamed,
    Reset,
    ServerMessage,
    Skipped,
    Unknown,
    Welcome,
)
from wire.limits import CLIENT_REPAIRS_PER_CONNECTION_MAX, CLIENT_REQUEST_WAIT_S, CLIENT_REQUESTS_MAX

ROOM = "square/main"
ONE, TWO = ConnectionId(1), ConnectionId(2)


class World:
    """One room's log, a gateway that tells it, and a client; every wire is a queue of its own."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.epoch = 1
        self.log: list[Event] = []
        self.ids: dict[str, int] = {}
        self.first_kept = 1
        self.down: dict[ConnectionId, deque[ServerMessage]] = {}
        self.up: dict[ConnectionId, deque[object]] = {}
        self.opening: list[ConnectionId] = []
        self.members: set[ConnectionId] = set()
        self.told: list[object] = []
        self.outcomes: dict[int, object] = {}
        self.asked: dict[int, str] = {}
        self.session = Session(["ws://a", "ws://b"], Random(seed), name="Ada")
        self.session.want(ROOM, None, 5)
        self.do(self.session.start(self.now))

    def do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Open(connection):
                    self.opening.append(connection)
                case Send(connection, message):
                    if connection in self.up:
                        self.up[connection].append(message)
                case Close(connection):
                    self.forget(connection)
                case Emit(update):
                    self.told.append(update)
                case Settle(n, outcome):
                    assert n not in self.outcomes, "a request has one outcome"
                    self.outcomes[n] = outcome

    def forget(self, connection: ConnectionId) -> None:
        self.down.pop(connection, None)
        self.up.pop(connection, None)
        self.members.discard(connection)
        if connection in self.opening:
            self.opening.remove(connection)

    # --- what may happen ------------------------------------------------------------------

    def act(self, action: str) -> None:
        match action:
            case "say":
                self.append("other", f"o{len(self.log)}-{self.epoch}")
            case "publish":
                n = self.session.number()
                self.asked[n] = f"m{n}"
                message = Publish(n, ROOM, f"m{n}", "x")
                self.do(self.session.request(message, n, ROOM, (Ack, Refused, Unknown), self.now))
            case "open" if self.opening:
                connection = self.opening.pop(0)
                self.down[connection], self.up[connection] = deque(), deque()
                self.do(self.session.opened(connection))
            case "fail" if self.opening:
                self.do(self.session.failed(self.opening.pop(0), "nobody", self.now))
            case "deliver":
                self.deliver(self.rng.randint(1, 6))
            case "lose" if self.down:
                # A fault of the gateway: a message never leaves.
                queue = self.down[self.rng.choice(sorted(self.down))]
                if queue and isinstance(queue[-1], Event):
                    queue.pop()
            case "repeat" if self.down:
                queue = self.down[self.rng.choice(sorted(self.down))]
                if queue and isinstance(queue[-1], Event):
                    queue.append(queue[-1])
            case "skip" if self.members:
                connection = self.rng.choice(sorted(self.members))
                queue = self.down[connection]
                if queue and isinstance(queue[-1], Event):
                    offset = queue.pop().offset
                    queue.append(Skipped(ROOM, offset, offset))
            case "cut" if self.down:
                connection = self.rng.choice(sorted(self.down))
                self.forget(connection)
                self.do(self.session.closed(connection, 1006, "", self.now))
            case "goaway" if self.down:
                self.down[self.rng.choice(sorted(self.down))].append(Goaway(5000, 100))
            case "trim":
                self.first_kept = max(self.first_kept, len(self.log) - 3)
            case "epoch":
                self.epoch += 1
                self.log, self.ids, self.first_kept = [], {}, 1
                for connection in self.members:
                    self.down[connection].append(Reset(ROOM, f"e{self.epoch}", 0, "epoch"))
            case "wait":
                self.wait(self.rng.choice([0.2, 1.0, 12.0]))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.session.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.do(self.session.tick(self.now))
        self.now = end

    def deliver(self, count: int) -> None:
        for _ in range(count):
            busy = [connection for connection in sorted(self.down) if self.down[connection] or self.up[connection]]
            if not busy:
                return
            connection = self.rng.choice(busy)
            if self.up[connection] and (not self.down[connection] or self.rng.random() < 0.5):
                self.hear(connection, self.up[connection].popleft())
            else:
                self.do(self.session.received(connection, self.down[connection].popleft(), self.now))

    # --- the gateway --------------------------------------------------------------------------

    def append(self, by: str, message_id: str) -> Event:
        event = Event(ROOM, len(self.log) + 1, 1000, "message", by, by, message_id, f"{self.epoch}:{len(self.log) + 1}")
        self.log.append(event)
        for connection in sorted(self.members):
            self.down[connection].append(event)
        return event

    def hear(self, connection: ConnectionId, message: object) -> None:
        queue = self.down[connection]
        match message:
            case Hello(joins=joins):
                replies = [self.join(connection, 0, request) for request in joins]
                queue.append(Welcome(1, "g", "s", "g", "me", "Ada", 25_000, [reply for reply, _ in replies]))
                for _, events in replies:
                    queue.extend(events)
            case Join(n=n, room=room, since=since, limit=limit):
                reply, events = self.join(connection, n, JoinRequest(room, since, limit))
                queue.append(reply)
                queue.extend(events)
            case Leave(n=n):
                self.members.discard(connection)
                queue.append(Left(n, ROOM))
            case Publish(n=n) if connection not in self.members:
                queue.append(Refused(n, "not_joined", "Join the room first."))
            case Publish(n=n) if self.rng.random() < 0.2:
                queue.append(Refused(n, "too_fast", "Slow down.", True, 200))
            case Publish(n=n, id=message_id):
                is_known = message_id in self.ids
                if not is_known:
                    self.ids[message_id] = self.append("me", message_id).offset
                queue.append(Ack(n, ROOM, message_id, f"e{self.epoch}", self.ids[message_id], 1000, is_known))
            case Pong():
                pass

    def join(self, connection: ConnectionId, n: int, request: JoinRequest) -> tuple[Joined, list[Event]]:
        self.members.add(connection)
        head, since, epoch = len(self.log), request.since, f"e{self.epoch}"
        recovered = since is not None and since.epoch == epoch and self.first_kept - 1 <= since.offset <= head
        start = since.offset if since is not None and recovered else max(self.first_kept - 1, head - request.limit)
        reason = "" if since is None or recovered else "epoch" if since.epoch != epoch else "limit"
        return Joined(n, ROOM, epoch, head, start, "", since is not None, recovered, reason), self.log[start:]

    # --- what must hold ------------------------------------------------------------------------

    def settle_down(self) -> None:
        """No more faults: let everything that is on its way arrive."""
        for _ in range(60):
            self.wait(1.0)
            while self.opening:
                self.act("open")
            self.deliver(10_000)

    def check_told(self) -> None:
        """Contiguous within an epoch, holes announced, content true to the offset."""
        epoch, offset = "", 0
        for update in self.told:
            match update:
                case Joined() if not epoch:
                    epoch, offset = update.epoch, update.since
                case Joined():
                    assert update.epoch == epoch
                case Event():
                    assert update.offset == offset + 1
                    assert update.text == f"{epoch[1:]}:{update.offset}"
                    offset = update.offset
                case Skipped(first=first, last=last):
                    assert first == offset + 1
                    offset = last
                case Reset():
                    epoch, offset = update.epoch, update.offset
                case Gap(first=first):
                    assert first == offset + 1
                case _:
                    pass


ACTIONS = (
    ["say", "publish", "open", "deliver", "deliver", "deliver"] * 2 + ["lose", "repeat", "skip", "cut", "goaway", "wait", "fail"]
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from([*ACTIONS, "trim", "epoch"]), min_size=20, max_size=120))
def test_whatever_happens_each_event_is_told_once_in_order_and_every_hole_is_announced(seed: int, script: list[str]) -> None:
    world = World(seed)
    for action in script:
        world.act(action)
        world.check_told()
    world.settle_down()
    # One more event shows whether the last one was lost without a trace.
    world.act("say")
    world.settle_down()
    world.check_told()
    room = world.session.rooms.get(ROOM)
    assert room is not None
    assert (room.epoch, room.offset) == (f"e{world.epoch}", len(world.log))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(ACTIONS), min_size=20, max_size=120))
def test_every_publish_has_one_outcome_and_is_in_the_log_at_most_once(seed: int, script: list[str]) -> None:
    world = World(seed)
    for action in script:
        world.act(action)
    world.settle_down()
    assert world.outcomes.keys() == world.asked.keys()
    in_log = [event.id for event in world.log if event.by == "me"]
    assert len(set(in_log)) == len(in_log)
    for n, message_id in world.asked.items():
        outcome = world.outcomes[n]
        if isinstance(outcome, Ack):
            assert world.log[outcome.offset - 1].id == message_id
        elif isinstance(outcome, Refused):
            assert message_id not in in_log
            assert outcome.code in {"unavailable", "too_fast"}, "a publish waits until its room is entered"
        else:
            assert isinstance(outcome, Unknown)


def opened_session() -> tuple[Session, list[Effect]]:
    session = Session(["ws://a"], Random(1), name="Ada")
    session.want(ROOM)
    session.start(0.0)
    session.opened(ONE)
    return session, session.received(ONE, Welcome(1, "g", "s", "g", "me", "Ada", 25_000, [Joined(0, ROOM, "e1", 0, 0)]), 0.0)


def test_a_connection_that_keeps_losing_events_is_left() -> None:
    session, _ = opened_session()
    for _ in range(CLIENT_REPAIRS_PER_CONNECTION_MAX):
        effects = session.received(ONE, Event(ROOM, 5, 1, "message"), 0.0)
        join = next(effect.message for effect in effects if isinstance(effect, Send) and isinstance(effect.message, Join))
        session.received(ONE, Joined(join.n, ROOM, "e1", 5, 0, recovered=True), 0.0)
    effects = session.received(ONE, Event(ROOM, 5, 1, "message"), 0.0)
    assert [effect.code for effect in effects if isinstance(effect, Close)] == [3010]
    assert session.connection == "waiting"


def test_a_join_is_settled_by_its_own_answer_or_by_the_welcome() -> None:
    session, _ = opened_session()
    n = session.number()
    (send,) = session.join("square/more", None, 5, n, 0.0)
    assert send == Send(ONE, Join(n, "square/more", None, 5))
    session.closed(ONE, 1006, "", 0.0)
    session.tick(2.0)
    session.opened(TWO)
    joined = Joined(0, "square/more", "e1", 0, 0)
    effects = session.received(TWO, Welcome(1, "g", "s", "g", "me", "Ada", 25_000, [Joined(0, ROOM, "e1", 0, 0), joined]), 2.0)
    assert Settle(n, joined) in effects


def test_a_join_that_is_refused_is_forgotten() -> None:
    session, _ = opened_session()
    n = session.number()
    session.join("square/more", None, 5, n, 0.0)
    refused = Refused(n, "unavailable", "no", True, 1000)
    assert session.received(ONE, refused, 0.0) == [Settle(n, refused)]
    assert session.rooms.get("square/more") is None


def test_a_room_left_while_it_was_being_entered_is_left_behind_its_answer() -> None:
    session, _ = opened_session()
    n = session.number()
    session.join("square/more", None, 5, n, 0.0)
    leave = session.number()
    effects = session.leave("square/more", leave, 0.0)
    assert [effect.n for effect in effects if isinstance(effect, Settle)] == [n]
    assert Send(ONE, Leave(leave, "square/more")) in effects
    effects = session.received(ONE, Joined(n, "square/more", "e1", 0, 0), 0.0)
    assert any(isinstance(effect, Send) and isinstance(effect.message, Leave) for effect in effects)
    assert not any(isinstance(effect, Emit) for effect in effects)


def test_leaving_without_a_connection_is_done_at_once() -> None:
    session = Session(["ws://a"], Random(1))
    session.want(ROOM)
    session.start(0.0)
    assert session.leave(ROOM, 1, 0.0) == [Settle(1, Left(1, ROOM))]
    (effect,) = session.leave(ROOM, 2, 0.0)
    assert isinstance(effect, Settle)
    assert isinstance(effect.outcome, Refused)
    assert effect.outcome.code == "not_joined"


def test_an_answer_of_another_kind_breaks_the_connection_off() -> None:
    session, _ = opened_session()
    n = session.number()
    session.request(Publish(n, ROOM, "m", "x"), n, ROOM, (Ack, Refused, Unknown), 0.0)
    effects = session.received(ONE, Renamed(n, "x"), 0.0)
    assert [effect.code for effect in effects if isinstance(effect, Close)] == [1002]
    assert session.connection == "waiting"


def test_a_welcome_that_does_not_answer_the_hello_breaks_the_connection_off() -> None:
    session = Session(["ws://a"], Random(1))
    session.want(ROOM)
    session.start(0.0)
    session.opened(ONE)
    effects = session.received(ONE, Welcome(1, "g", "s", "g", "me", "Ada", 25_000, []), 0.0)
    assert [effect.code for effect in effects if isinstance(effect, Close)] == [1002]


def test_more_requests_than_may_wait_are_refused_as_busy() -> None:
    session = Session(["ws://a"], Random(1))
    session.start(0.0)
    for _ in range(CLIENT_REQUESTS_MAX):
        n = session.number()
        assert session.request(Publish(n, ROOM, "m", "x"), n, ROOM, (Ack,), 0.0) == []
    n = session.number()
    (effect,) = session.request(Publish(n, ROOM, "m", "x"), n, ROOM, (Ack,), 0.0)
    assert isinstance(effect, Settle)
    assert isinstance(effect.outcome, Refused)
    assert effect.outcome.code == "busy"


def test_a_request_is_answered_in_time_even_if_nobody_answers() -> None:
    session, _ = opened_session()
    n = session.number()
    session.request(Publish(n, ROOM, "m", "x"), n, ROOM, (Ack, Refused, Unknown), 0.0)
    assert Settle(n, Unknown(n, ROOM, "m")) in session.tick(CLIENT_REQUEST_WAIT_S)


def test_stopping_twice_is_stopping_once() -> None:
    session, _ = opened_session()
    assert Emit(Stopped(1000, "done")) in session.stop("done")
    assert session.stop("again") == []
    assert session.stopped == Stopped(1000, "done")


def test_what_a_forgotten_connection_does_changes_nothing() -> None:
    session, _ = opened_session()
    session.closed(ONE, 1006, "", 0.0)
    assert session.received(ONE, Event(ROOM, 1, 1, "message"), 0.0) == []
    assert session.closed(ONE, 3501, "", 0.0) == []
    assert session.opened(ONE) == []
    assert session.failed(ONE, "", 0.0) == []
    assert session.broken(ONE, "", 0.0) == []
