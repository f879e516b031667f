"""The client as a program uses it: `connect`, and methods whose outcomes are values.

    async with connect(["ws://127.0.0.1:8001"], name="Ada", rng=random.Random()) as client:
        joined = await client.join("election/candidate-7")
        outcome = await client.publish("election/candidate-7", "good evening")
        async for update in client.events():
            ...

It decides nothing itself: `client/session.py` does, `client/connection.py` holds the
sockets, and this file carries effects from one to the other in the tasks of one nursery.
"""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random

import trio

from client.connection import Connection, Dial, Hooks, dial
from client.effects import Close, ConnectionId, Effect, Emit, Open, Send, Settle
from client.inbox import Inbox
from client.observer import ObservedHooks, Observer
from client.requests import refused
from client.session import Session
from client.updates import HistoryPage, Outcome, PublishOutcome, Update
from wire.client_codec import Form
from wire.client_messages import (
    Ack,
    AnyServerMessage,
    ClientMessage,
    Delete,
    Edit,
    Event,
    History,
    Joined,
    Position,
    Publish,
    Refused,
    Rename,
    Renamed,
    Unknown,
)
from wire.codes import Refusal
from wire.limits import (
    CLOSE_GRACE_S,
    HISTORY_EVENTS_MAX,
    JOIN_HISTORY_EVENTS_DEFAULT,
    PUBLISHES_IN_FLIGHT_PER_CLIENT_MAX,
)
from wire.names import parse_message_id, parse_room
from wire.text import clean_nickname, clean_text

_WRONG_OUTCOME = "the session settles a request only with the kinds it named"


@asynccontextmanager
async def connect(
    urls: Iterable[str],
    *,
    name: str = "",
    rng: Random,
    guest_token: str | None = None,
    rooms: Iterable[str] = (),
    history: int = JOIN_HISTORY_EVENTS_DEFAULT,
    form: Form = Form.MSGPACK,
    dial_url: Dial = dial,
    client: str = "parvis-python",
    observer: Observer | None = None,
) -> AsyncIterator["Client"]:
    """A client that stays connected to one of `urls` until the block ends.

    Does not wait for the connection: requests made at once wait for it themselves.
    `rooms` are entered with the hello, with their last `history` events.  `guest_token` is
    `Client.guest_token` of an earlier life, to be the same author again.  An `observer` sees the
    connections as they are.
    """
    session = Session(list(urls), rng, name=name, guest=guest_token or "", client=client)
    for room in rooms:
        no = Refusal.BAD_ROOM if parse_room(room) is None else session.want(room, None, history)
        if no is not None:
            raise ValueError(f"cannot join {room!r}: {no.kind.sentence}")
    failure: Exception | None = None
    async with trio.open_nursery() as client_nursery:
        it = Client(session, rng, form, dial_url, client_nursery, observer)
        it._start()
        try:
            yield it
        except Exception as error:  # noqa: BLE001  # raised again below, outside the nursery that would wrap it in a group
            failure = error
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_GRACE_S):
                await it._finish()
            client_nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


class Client:
    """One conversation with the service; made by `connect`, whose nursery owns its tasks.

    Methods may be called from any task.  Each waits for its outcome at most
    CLIENT_REQUEST_WAIT_S, across reconnects, and never raises for what a server says.
    """

    def __init__(
        self, session: Session, rng: Random, form: Form, dial_url: Dial, client_nursery: trio.Nursery, observer: Observer | None
    ) -> None:
        self._session = session
        self._rng = rng
        self._form = form
        self._dial = dial_url
        self._nursery = client_nursery
        self._observer = observer
        self._connections: dict[ConnectionId, Connection] = {}
        self._waiters: dict[int, _Waiter] = {}
        self._inbox = Inbox()
        self._inbox_filled = trio.Event()
        self._timer_changed = trio.Event()
        self._timer_at = math.inf
        self._connections_ended = trio.Event()
        # Waits instead of refusing: a gateway refuses more than these as too fast.
        self._publishes = trio.Semaphore(PUBLISHES_IN_FLIGHT_PER_CLIENT_MAX)

    # --- what is known ------------------------------------------------------------------------

    @property
    def author(self) -> str:
        """Our author id, "" before the first welcome: events with this `by` are our own."""
        return self._session.author

    @property
    def name(self) -> str:
        return self._session.name

    @property
    def guest_token(self) -> str:
        """To be given to the next `connect`, to be the same author again."""
        return self._session.guest

    @property
    def stop_code(self) -> int | None:
        """The close code that ended the client for good; None while it lives."""
        return self._session.stopped.code if self._session.stopped is not None else None

    def position(self, room: str) -> Position | None:
        """Up to where everything was seen; give it to `join` to go on from there."""
        state = self._session.rooms.get(room)
        return state.position() if state is not None else None

    def present(self, room: str) -> int:
        """How many are in the room, as last told."""
        state = self._session.rooms.get(room)
        return state.present if state is not None else 0

    # --- speaking -----------------------------------------------------------------------------------

    async def publish(self, room: str, text: str, id: str | None = None) -> PublishOutcome:
        """Say `text`.  After `Unknown` call again with the same `id`: it is never said twice."""
        message_id = id if id is not None else self.new_id()
        no = _refuse_room(room) or _refuse_id(message_id) or _refuse_text(text)
        n = self._session.number()
        return await self._publish(Publish(n, room, message_id, text), n, room, no)

    async def edit(self, room: str, target: int, text: str, id: str | None = None) -> PublishOutcome:
        """Replace the text of our own message at offset `target`."""
        message_id = id if id is not None else self.new_id()
        no = _refuse_room(room) or _refuse_id(message_id) or _refuse_text(text)
        n = self._session.number()
        return await self._publish(Edit(n, room, message_id, target, text), n, room, no)

    async def delete(self, room: str, target: int, id: str | None = None) -> PublishOutcome:
        """Remove our own message at offset `target`."""
        message_id = id if id is not None else self.new_id()
        no = _refuse_room(room) or _refuse_id(message_id)
        n = self._session.number()
        return await self._publish(Delete(n, room, message_id, target), n, room, no)

    async def rename(self, name: str) -> Renamed | Refused:
        """Speak under another name from the next message on."""
        n = self._session.number()
        cleaned = clean_nickname(name)
        if isinstance(cleaned, Refusal):
            return refused(cleaned, n)
        outcome = await self._ask(Rename(n, cleaned), n, "", (Renamed, Refused))
        assert isinstance(outcome, (Renamed, Refused)), _WRONG_OUTCOME
        return outcome

    def new_id(self) -> str:
        """A message id of our own: 64 random bits."""
        return f"{self._rng.getrandbits(64):016x}"

    # --- rooms ------------------------------------------------------------------------------------------

    async def join(self, room: str, since: Position | None = None, limit: int = JOIN_HISTORY_EVENTS_DEFAULT) -> Joined | Refused:
        """Enter a room, from a position or with its last `limit` events; it is entered again after every reconnect."""
        n = self._session.number()
        no = _refuse_room(room)
        if no is not None:
            return refused(no, n, room)
        now = trio.current_time()
        limit = max(0, min(limit, HISTORY_EVENTS_MAX))
        outcome = await self._settle(n, lambda: self._session.join(room, since, limit, n, now))
        assert isinstance(outcome, (Joined, Refused)), _WRONG_OUTCOME
        return outcome

    async def leave(self, room: str) -> Position | None:
        """Leave a room; answers where we were in it, to come back to."""
        position = self.position(room)
        n = self._session.number()
        await self._settle(n, lambda: self._session.leave(room, n, trio.current_time()))
        return position

    async def history(
        self,
        room: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = JOIN_HISTORY_EVENTS_DEFAULT,
        epoch: str = "",
    ) -> HistoryPage | Refused:
        """Kept events after an offset, or before one; the latest when neither is given."""
        n = self._session.number()
        no = _refuse_room(room)
        if no is not None:
            return refused(no, n, room)
        message = History(n, room, epoch, after, before, max(1, min(limit, HISTORY_EVENTS_MAX)))
        outcome = await self._ask(message, n, room, (HistoryPage, Refused))
        assert isinstance(outcome, (HistoryPage, Refused)), _WRONG_OUTCOME
        return outcome

    # --- reading ---------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Update]:
        """All that happens, in order; ends after `Stopped`.  For one task at a time.

        What is not read in time is left out and announced as `Skipped` (`client/inbox.py`).
        """
        while True:
            while len(self._inbox):
                yield self._inbox.take()
            if self._session.stopped is not None:
                return
            self._inbox_filled = trio.Event()
            await self._inbox_filled.wait()

    # --- carrying effects -----------------------------------------------------------------------------------------

    async def _publish(self, message: ClientMessage, n: int, room: str, no: Refusal | None) -> PublishOutcome:
        if no is not None:
            return refused(no, n, room, getattr(message, "id", ""))
        async with self._publishes:
            outcome = await self._ask(message, n, room, (Ack, Refused, Unknown))
        assert isinstance(outcome, (Ack, Refused, Unknown)), _WRONG_OUTCOME
        return outcome

    async def _ask(self, message: ClientMessage, n: int, room: str, answers: tuple[type, ...]) -> Outcome:
        return await self._settle(n, lambda: self._session.request(message, n, room, answers, trio.current_time()))

    async def _settle(self, n: int, ask: Callable[[], list[Effect]]) -> Outcome:
        waiter = self._waiters[n] = _Waiter()
        try:
            self._apply_and_rearm(ask())
            return await waiter.wait()
        finally:
            del self._waiters[n]

    def _start(self) -> None:
        self._nursery.start_soon(self._run_timer)
        self._apply(self._session.start(trio.current_time()))

    async def _finish(self) -> None:
        """Say goodbye everywhere and wait until it was heard."""
        self._apply(self._session.stop())
        while self._connections:
            self._connections_ended = trio.Event()
            await self._connections_ended.wait()

    async def _run_timer(self) -> None:
        """Calls `tick` when the session asked for it."""
        while True:
            deadline = self._session.next_deadline()
            self._timer_at = math.inf if deadline is None else deadline
            self._timer_changed = trio.Event()
            with trio.move_on_at(self._timer_at):
                await self._timer_changed.wait()
            if trio.current_time() >= self._timer_at:
                self._apply(self._session.tick(trio.current_time()))

    def _apply(self, effects: list[Effect]) -> None:
        """Do what the session decided.  Synchronous: nothing happens between two effects."""
        for effect in effects:
            match effect:
                case Emit(update):
                    self._inbox.offer(update)
                    self._inbox_filled.set()
                case Send(connection, message):
                    # A connection whose task was cancelled is gone before the session knows.
                    if (to := self._connections.get(connection)) is not None:
                        if self._observer is not None:
                            self._observer.sent(connection, message)
                        to.send(message)
                case Settle(n, outcome):
                    # Nobody waits any more when the caller was cancelled.
                    if (waiter := self._waiters.get(n)) is not None:
                        waiter.set(outcome)
                case Open(connection, url):
                    self._open(connection, url)
                case Close(connection, code, reason):
                    if (to := self._connections.get(connection)) is not None:
                        to.close(code, reason)

    def _apply_and_rearm(self, effects: list[Effect]) -> None:
        """`_apply`, after anything but an event: those alone change no deadline to an earlier one."""
        self._apply(effects)
        self._timer_changed.set()

    def _open(self, connection: ConnectionId, url: str) -> None:
        hooks: Hooks = _ConnectionHooks(self, connection)
        if self._observer is not None:
            self._observer.dialled(connection, url)
            hooks = ObservedHooks(connection, self._observer, hooks)
        opened = Connection(url, self._form, self._dial, hooks)
        self._connections[connection] = opened
        self._nursery.start_soon(self._run_connection, connection, opened)

    async def _run_connection(self, connection: ConnectionId, opened: Connection) -> None:
        try:
            await opened.run()
        finally:
            del self._connections[connection]
            self._connections_ended.set()


class _ConnectionHooks:
    """Tells the session what one connection did, and the client what to do about it."""

    def __init__(self, client: Client, connection: ConnectionId) -> None:
        self._client = client
        self._session = client._session
        self._connection = connection

    def opened(self) -> None:
        self._client._apply_and_rearm(self._session.opened(self._connection))

    def received(self, message: AnyServerMessage | HistoryPage) -> None:
        effects = self._session.received(self._connection, message, trio.current_time())
        # The next event in order is told and nothing else; a hole may end the connection.
        if isinstance(message, Event) and len(effects) <= 1:
            self._client._apply(effects)
        else:
            self._client._apply_and_rearm(effects)

    def broken(self, reason: str) -> None:
        self._client._apply_and_rearm(self._session.broken(self._connection, reason, trio.current_time()))

    def failed(self, reason: str, retry_after_s: float) -> None:
        self._client._apply_and_rearm(self._session.failed(self._connection, reason, trio.current_time(), retry_after_s))

    def closed(self, code: int, reason: str) -> None:
        self._client._apply_and_rearm(self._session.closed(self._connection, code, reason, trio.current_time()))


class _Waiter:
    """One call that waits for the outcome of its request."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._outcome: Outcome | None = None

    def set(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._event.set()

    async def wait(self) -> Outcome:
        await self._event.wait()
        assert self._outcome is not None, "a waiter is woken with its outcome"
        return self._outcome


def _refuse_room(room: str) -> Refusal | None:
    return Refusal.BAD_ROOM if parse_room(room) is None else None


def _refuse_id(message_id: str) -> Refusal | None:
    return Refusal.BAD_ID if parse_message_id(message_id) is None else None


def _refuse_text(text: str) -> Refusal | None:
    """Refused here as the gateway would: a frame beyond its bound would end the connection instead."""
    cleaned = clean_text(text)
    return cleaned if isinstance(cleaned, Refusal) else None
