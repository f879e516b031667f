"""Playing the sessions of docs/protocol-vectors.json against client/session.py."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from client.effects import Close, Effect, Emit, Open, Send, Settle
from client.session import Session
from client.updates import Connected, Connecting, Gap, JoinRefused, Reconnecting, Stopped
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Ack, Publish, Refused, Unknown

ROOM = "square/main"
Json = Mapping[str, Any]


class Player:
    """One client called Ada who wants `ROOM`, and a clock that the steps move."""

    def __init__(self) -> None:
        self.session = Session(["ws://gateway"], Random(7), name="Ada")
        self.session.want(ROOM)
        self.now = 1000.0
        self.names: dict[str, int] = {}
        """Numbers that the client chose, by the placeholder that the vector has for them."""
        self.effects: list[Effect] = []
        self.session.start(self.now)

    def play(self, step: Json) -> None:
        """One step; `effects` is what it led to."""
        match step:
            case {"open": connection}:
                self.effects = self.session.opened(connection)
            case {"fail": connection}:
                self.effects = self.session.failed(connection, "nobody listens", self.now)
            case {"gateway": connection, "message": message}:
                n = message.get("n", 0)
                numbered = {**message, "n": self.names[n] if isinstance(n, str) else n}
                decoded = decode_server_message(msgspec.json.encode(numbered), Form.JSON)
                self.effects = self.session.received(connection, decoded, self.now)
            case {"close": connection, "code": code}:
                self.effects = self.session.closed(connection, code, "", self.now)
            case {"call": "publish", "id": message_id, "text": text}:
                n = self.session.number()
                message = Publish(n, ROOM, message_id, text)
                self.effects = self.session.request(message, n, ROOM, (Ack, Refused, Unknown), self.now)
            case {"after": seconds}:
                self.effects = self._pass(seconds)
            case _:
                raise AssertionError(f"no such step: {step}")

    def check(self, expected: Json) -> None:
        """All that the step says must hold."""
        if "sent" in expected:
            sent = [{"connection": e.connection, "message": _plain(e.message)} for e in self.effects if isinstance(e, Send)]
            self._match(sent, expected["sent"])
        if "told" in expected:
            self._match(self._told(), expected["told"])
        if "outcome" in expected:
            self._match([_plain(e.outcome) for e in self.effects if isinstance(e, Settle)], expected["outcome"])
        if "opens" in expected:
            assert [e.connection for e in self.effects if isinstance(e, Open)] == expected["opens"]
        if "closes" in expected:
            assert [e.connection for e in self.effects if isinstance(e, Close)] == expected["closes"]
        if "position" in expected:
            room = self.session.rooms.get(ROOM)
            assert room is not None
            position = _plain(room.position())
            assert position == {"chain": "", **expected["position"]}
        if "connection" in expected:
            assert self.session.connection == expected["connection"]

    def _pass(self, seconds: float) -> list[Effect]:
        end, effects = self.now + seconds, list[Effect]()
        while (deadline := self.session.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            effects += self.session.tick(self.now)
        self.now = end
        return effects

    def _told(self) -> list[Json]:
        told = []
        for effect in self.effects:
            match effect:
                case Emit(Connecting() | Connected() | Reconnecting() | Stopped()):
                    continue
                case Emit(Gap(room, first, last)):
                    told.append({"t": "gap", "room": room, "first": first, "last": last})
                case Emit(JoinRefused(_, refused)):
                    told.append(_plain(refused))
                case Emit(update):
                    told.append(_plain(update))
        return told

    def _match(self, actual: Sequence[Json], expected: Sequence[Json]) -> None:
        assert len(actual) == len(expected), f"{actual} is not {expected}"
        for is_, should in zip(actual, expected, strict=True):
            self._match_one(is_, should)

    def _match_one(self, actual: Any, expected: Any) -> None:
        """Fields that are not named may be anything; a name with a dollar takes the number it meets."""
        if isinstance(expected, Mapping):
            for key, value in expected.items():
                if key == "n" and isinstance(value, str):
                    self.names[value] = actual["n"]
                else:
                    self._match_one(actual.get(key, _ABSENT), value)
        elif isinstance(expected, list):
            assert len(actual) == len(expected), f"{actual} is not {expected}"
            for is_, should in zip(actual, expected, strict=True):
                self._match_one(is_, should)
        else:
            assert actual == expected, f"{actual} is not {expected}"


_ABSENT = "(absent)"


def _plain(message: object) -> Json:
    plain: Json = msgspec.to_builtins(message)
    return plain
