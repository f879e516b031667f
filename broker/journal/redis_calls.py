"""Many script calls to the primaries that have their keys, sent to all before any answer is read.

What becomes of a call: its reply; or `Lost`, when Redis says that it cannot (`maybe_done`
False: it did nothing) or did not answer (True: nobody knows).  A call is sent again within
the deadline only when Redis has said that it did nothing and that the key is elsewhere, or
that it does not know the script.  Calls of one group never share keys that they write, so
their order does not matter.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from runtime.redis_client import ELSEWHERE, NOT_DONE, RedisClient, Script, asked_address
from runtime.redis_connection import RedisAway, RedisConnection, Reply, ReplyError, code_of, pack
from runtime.redis_url import Address

# A slot that moves answers MOVED once, and a second time when its news has not reached every node.
ATTEMPTS: Final = 4
_ASKING: Final = pack("ASKING")


class Call(NamedTuple):
    """One EVALSHA, ready to be sent; `key` says where."""

    key: str
    script: Script
    packed: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """A call without a reply that counts."""

    sentence: str
    maybe_done: bool


def call_of(script: Script, keys: Sequence[str], *arguments: bytes | str | int) -> Call:
    """A call of `script`; all keys share a hash tag."""
    return Call(keys[0], script, pack("EVALSHA", script.sha, len(keys), *keys, *arguments))


def run_calls(client: RedisClient, calls: Sequence[Call], deadline_s: float, replicas: int = 0) -> list[Reply | Lost]:
    """What became of each call, in their order; `deadline_s` is a time of the monotonic clock.

    With `replicas`, a reply counts only when so many replicas have what the call wrote; they are asked for
    until the deadline, and what is then missing is lost, and maybe done.
    """
    results: list[Reply | Lost] = [None] * len(calls)
    with client.lock:
        one_round = _Round(client, calls, results, deadline_s, replicas)
        waiting: Sequence[int] = range(len(calls))
        for attempt in range(ATTEMPTS):
            if not waiting or (attempt and time.monotonic() > deadline_s):
                break
            if attempt:
                client.refresh()
            waiting = one_round.run(waiting)
    return results


class _Round:
    """One sending of some calls of a group; answers which are to be sent again."""

    def __init__(
        self, client: RedisClient, calls: Sequence[Call], results: list[Reply | Lost], deadline_s: float, replicas: int
    ) -> None:
        self._client = client
        self._calls = calls
        self._results = results
        self._deadline_s = deadline_s
        self._replicas = replicas
        self._asked: dict[int, Address] = {}
        """Calls whose slot is on its way to another node, which takes them after ASKING."""
        self._again: list[int] = []

    def run(self, waiting: Sequence[int]) -> Sequence[int]:
        self._again = []
        sent: list[tuple[RedisConnection, Sequence[int], frozenset[int]]] = []
        for address, indexes in self._grouped(waiting).items():
            try:
                connection = self._client.connection(address)
            except RedisAway as away:
                self._lose(indexes, away, again=self._client.place.topology != "server")
                continue
            asking = frozenset(index for index in indexes if self._asked.pop(index, None))
            try:
                connection.send(self._packed(indexes, asking), len(indexes) + len(asking) + bool(self._replicas))
            except RedisAway as away:
                self._lose(indexes, away)
                continue
            sent.append((connection, indexes, asking))
        for connection, indexes, asking in sent:
            self._receive(connection, indexes, asking)
        return self._again

    def _grouped(self, waiting: Sequence[int]) -> dict[Address, Sequence[int]]:
        """Which primary each call goes to."""
        client = self._client
        try:
            if client.place.topology != "cluster":
                return {client.address_of(""): waiting}
            groups: dict[Address, list[int]] = {}
            for index in waiting:
                address = self._asked.get(index) or client.address_of(self._calls[index].key)
                groups.setdefault(address, []).append(index)
            return dict(groups)
        except RedisAway as away:
            self._lose(waiting, away)
            return {}

    def _packed(self, indexes: Sequence[int], asking: frozenset[int]) -> bytes:
        calls = self._calls
        if asking:
            parts = [part for i in indexes for part in ((_ASKING, calls[i].packed) if i in asking else (calls[i].packed,))]
        else:
            parts = [calls[index].packed for index in indexes]
        if self._replicas:
            parts.append(self._wait())
        return b"".join(parts)

    def _receive(self, connection: RedisConnection, indexes: Sequence[int], asking: frozenset[int]) -> None:
        count = len(indexes) + len(asking) + bool(self._replicas)
        replies = connection.receive(count, connection.deadline())
        acknowledged = replies.pop() if self._replicas and len(replies) == count else None
        if asking:
            replies = _without_asking(replies, indexes, asking)
        results = self._results
        for index, reply in zip(indexes, replies, strict=False):
            results[index] = reply
            if isinstance(reply, ReplyError):
                self._refused(connection, index, reply)
        if len(replies) < len(indexes):
            self._lose(indexes[len(replies):], RedisAway(connection.why_cut, maybe_done=True))
        done = [index for index in indexes if _has_written(results[index])] if self._replicas else []
        if done:
            problem = self._await_replicas(connection, acknowledged)
            if problem:
                self._lose(done, RedisAway(problem, maybe_done=True))

    def _refused(self, connection: RedisConnection, index: int, error: ReplyError) -> None:
        """An error in place of a reply: to be sent again, or lost."""
        code = code_of(error)
        self._results[index] = Lost(f"Redis {connection.name}: {error}", maybe_done=code not in NOT_DONE)
        if code == "NOSCRIPT":
            script = self._calls[index].script
            if not any(self._calls[other].script is script for other in self._again):
                # A failure here shows when the call is sent again, on a new connection.
                with suppress(RedisAway):
                    connection.call("SCRIPT", "LOAD", script.text)
            self._again.append(index)
        elif code in ELSEWHERE:
            if code == "ASK":
                self._asked[index] = asked_address(error)
            elif code == "READONLY":
                self._client.look_again(connection)
            self._again.append(index)

    def _await_replicas(self, connection: RedisConnection, acknowledged: Reply | None) -> str:
        """Ask until enough replicas have what was written on this connection; what is wrong when they do not."""
        while not isinstance(acknowledged, int) or acknowledged < self._replicas:
            if isinstance(acknowledged, ReplyError):
                return f"Redis {connection.name}: {acknowledged}"
            if not connection.is_open or time.monotonic() > self._deadline_s:
                return connection.why_cut or (
                    f"Redis {connection.name}: {acknowledged or 0} of {self._replicas} replicas have what was written"
                )
            try:
                acknowledged = connection.exchange_packed(self._wait(), 1)[0]
            except RedisAway as away:
                return str(away)
        return ""

    def _wait(self) -> bytes:
        # Half of what a connection waits for an answer, so that the answer to this is never late itself.
        left_s = max(0.01, min(self._client.timeout_s / 2, self._deadline_s - time.monotonic()))
        return pack("WAIT", self._replicas, int(left_s * 1000))

    def _lose(self, indexes: Iterable[int], away: RedisAway, again: bool = False) -> None:
        for index in indexes:
            self._results[index] = Lost(str(away), away.maybe_done)
            if again:
                self._again.append(index)


def _has_written(reply: Reply | Lost) -> bool:
    """Whether there is something that replicas should have: every script of ours answers a number above zero then."""
    return isinstance(reply, int) and reply > 0


def _without_asking(replies: list[Reply], indexes: Sequence[int], asking: frozenset[int]) -> list[Reply]:
    """The replies of the calls alone."""
    flags = [is_call for index in indexes for is_call in ((False, True) if index in asking else (True,))]
    return [reply for reply, is_call in zip(replies, flags, strict=False) if is_call]
