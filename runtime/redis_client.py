"""The primaries of one Redis, wherever they are now: a server, what sentinels point to, or the nodes of a cluster.

A connection to each primary, made when it is asked for, kept while nothing goes wrong, and
looked for anew (`forget`, `refresh`) when something does.  Nothing is retried here except
what Redis has said it did *not* do.  Used by the journal, which sends to all primaries before
it reads any, and by whoever keeps a few keys under one hash tag (`call`, `run_script`).
"""

import threading
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha1
from typing import Final

from redis.crc import key_slot

from runtime.closing import closed_on_error
from runtime.redis_connection import (
    VERSION_MIN,
    Argument,
    RedisAway,
    RedisConnection,
    Reply,
    ReplyError,
    code_of,
    shown,
)
from runtime.redis_url import Address, RedisPlace, parse_redis_url
from runtime.schema import RedisSettings
from runtime.settings import SettingsError

# What Redis answers when it did nothing, and may do it elsewhere or a moment later.  Everything else
# that a script answers as an error leaves open how far it came.
NOT_DONE: Final = frozenset({
    "ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH", "NOPERM", "NOREPLICAS",
    "NOSCRIPT", "OOM", "READONLY", "TRYAGAIN", "WRONGPASS",
})  # fmt: skip
# Said by a node that is not, or not any more, the primary of a key: look for it anew.
ELSEWHERE: Final = frozenset({"ASK", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "READONLY", "TRYAGAIN"})
# As much as that Redis cannot serve now; missing rights and scripts are for who asked.
_AWAY: Final = NOT_DONE - {"NOSCRIPT", "NOPERM"}
_ATTEMPTS: Final = 3
SERVER: Final[Address] = ("", 0)
"""Stands for the one server of a unix socket."""


class Script:
    """A Lua script, called by its digest; loaded where a server does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


def place_of(settings: RedisSettings) -> RedisPlace:
    """Where redis.url says; raises `SettingsError` with a sentence that names the setting."""
    if not settings.url:
        raise SettingsError(["redis.url is empty; it says where Redis is, as in redis://10.0.0.5:6379/0"])
    try:
        return parse_redis_url(settings.url)
    except ValueError as error:
        raise SettingsError([f"redis.url {error}"]) from error


class RedisClient:
    """See the module.  Safe to share between threads: one exchange at a time."""

    def __init__(self, settings: RedisSettings, scripts: Sequence[Script] = ()) -> None:
        """Connects to nothing yet.  Raises `SettingsError`.  `scripts` are loaded with each connection."""
        self.place = place_of(settings)
        self.timeout_s = settings.timeout_s
        self.lock = threading.RLock()
        """Held by whoever uses connections of this client directly."""
        self._settings = settings
        self._scripts = scripts
        self._connections: dict[Address, RedisConnection] = {}
        self._primary: Address | None = None
        """Of a server or a sentinel's service; None until it is looked for."""
        self._slots: list[Address] = []
        """Of a cluster: the primary of each of Redis' 16384 slots; empty until it is asked for."""

    # --- simple use ---------------------------------------------------------------------------

    def call(self, key: str, *command: Argument) -> Reply:
        """One command to the primary of `key`; raises `RedisAway`, or `ReplyError` for an error of its own making."""
        (reply,) = self.pipeline(key, [command])
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def run_script(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        """Run a script on keys that share a hash tag; raises as `call` does."""
        command = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        with self.lock:
            (reply,) = self.pipeline(keys[0], [command])
            if isinstance(reply, ReplyError) and code_of(reply) == "NOSCRIPT":
                (_, reply) = self.pipeline(keys[0], [("SCRIPT", "LOAD", script.text), command])
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def pipeline(self, key: str, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Commands for keys that share a hash tag, a reply each, errors as values; raises `RedisAway`.

        Sent again only when all were answered by "not here"; of a slot that is being moved some may have been
        carried out, and then it is left to the caller.
        """
        if not commands:
            return []
        with self.lock:
            for attempts_left in reversed(range(_ATTEMPTS)):
                connection = self.primary_of(key)
                replies = connection.exchange(commands)
                if _codes_of(replies) == {"ASK"}:
                    # The slot is on its way to another node, which takes each command after ASKING.
                    asking = [each for command in commands for each in (("ASKING",), command)]
                    replies = self.connection(asked_address(replies[0])).exchange(asking)[1::2]
                codes = _codes_of(replies)
                if codes <= ELSEWHERE and attempts_left:
                    self.look_again(connection)
                    continue
                if codes & _AWAY:
                    refused = next(reply for reply in replies if isinstance(reply, ReplyError) and code_of(reply) in _AWAY)
                    raise RedisAway(f"Redis {connection.name}: {refused}", maybe_done=not codes <= NOT_DONE)
                return replies
        raise AssertionError("the last attempt returns or raises")

    # --- where things are ---------------------------------------------------------------------

    def primary_of(self, key: str) -> RedisConnection:
        """The connection to the primary that has `key`; made if need be.  Raises `RedisAway`."""
        return self.connection(self.address_of(key))

    def address_of(self, key: str) -> Address:
        """Where `key` is, as far as is known; raises `RedisAway` when that cannot be found out."""
        if self.place.topology != "cluster":
            if self._primary is None or self._may_have_failed_over(self._primary):
                self._primary = self._find_primary()
            return self._primary
        if not self._slots:
            self._slots = self._ask_for_slots()
        address = self._slots[key_slot(key.encode())]
        if address == SERVER:
            raise RedisAway(f"Redis Cluster {self.place}: no node has the slot of {key}")
        return address

    def primaries(self) -> list[RedisConnection]:
        """Connections to all primaries; raises `RedisAway` when one is out of reach."""
        if self.place.topology != "cluster":
            return [self.primary_of("")]
        self.address_of("")
        return [self.connection(address) for address in sorted(set(self._slots))]

    def connection(self, address: Address) -> RedisConnection:
        """The connection to one primary, a new one when the last cannot be used any more; raises `RedisAway`."""
        known = self._connections.get(address)
        if known is not None:
            if not known.is_stale():
                return known
            self.drop(address)
        try:
            made = self._connect(None if address == SERVER else address)
        except RedisAway:
            self.refresh()
            raise
        self._connections[address] = made
        return made

    def look_again(self, connection: RedisConnection) -> None:
        """This node says that it is not the primary any more: find out who is."""
        if self.place.topology != "cluster":
            connection.close()
        self.refresh()

    def refresh(self) -> None:
        """Forget who is primary of what; connections stay, for the next answer may name the same nodes."""
        self._primary = None
        self._slots = []

    def drop(self, address: Address) -> None:
        """Close one connection."""
        gone = self._connections.pop(address, None)
        if gone is not None:
            gone.close()

    def close(self) -> None:
        """The connections; the client can be used again after it."""
        with self.lock:
            for address in list(self._connections):
                self.drop(address)
            self.refresh()

    # --- finding out --------------------------------------------------------------------------

    def _may_have_failed_over(self, primary: Address) -> bool:
        """A connection was lost: the sentinels are asked before a server that restarts is taken for the primary it was."""
        known = self._connections.get(primary)
        return self.place.topology == "sentinel" and known is not None and known.is_stale()

    def _connect(self, address: Address | None) -> RedisConnection:
        """A connection to a server that is new enough and a primary."""
        made = RedisConnection(self.place, address, self._settings)
        with closed_on_error(made):
            facts = facts_of(made, "server", "replication")
            version = facts.get("redis_version", "?")
            if not is_new_enough(version):
                raise RedisAway(f"Redis {made.name} is version {version}; {VERSION_MIN[0]}.{VERSION_MIN[1]} or newer is needed")
            if facts.get("role") != "master":
                primary = f"{facts.get('master_host')}:{facts.get('master_port')}"
                raise RedisAway(f"Redis {made.name} is a read-only replica of {primary}; redis.url must lead to the primary")
            if self._scripts:
                # What is refused here (LOADING) is refused again, and told, when a script is run.
                made.exchange([("SCRIPT", "LOAD", script.text) for script in self._scripts])
        return made

    def _find_primary(self) -> Address:
        if self.place.topology == "server":
            return self.place.addresses[0] if self.place.addresses else SERVER
        problems: list[str] = []
        for address in self.place.addresses:
            try:
                found = self._ask_sentinel(address)
            except RedisAway as error:
                problems.append(str(error))
                continue
            if found is not None:
                return found
            problems.append(f"sentinel {shown(address)} knows no {self.place.service}")
        raise RedisAway("; ".join(problems))

    def _ask_sentinel(self, address: Address) -> Address | None:
        """Where this sentinel says the primary is; None when it has never heard of it."""
        place = replace(self.place, database=0)
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.place.service)
        sentinel = RedisConnection(place, address, self._settings, with_password=False)
        try:
            reply = sentinel.call(*question)
            if isinstance(reply, ReplyError) and code_of(reply) == "NOAUTH":
                sentinel.close()
                sentinel = RedisConnection(place, address, self._settings)
                reply = sentinel.call(*question)
        finally:
            sentinel.close()
        if isinstance(reply, ReplyError):
            raise RedisAway(f"sentinel {sentinel.name}: {reply}")
        return (reply[0].decode(), int(reply[1])) if reply else None

    def _ask_for_slots(self) -> list[Address]:
        """The primaries of all slots, from the first node that answers: nodes we talk to, then those of redis.url."""
        problems: list[str] = []
        for address in dict.fromkeys((*self._connections, *self.place.addresses)):
            try:
                reply = self._ask_node(address, "CLUSTER", "SLOTS")
            except RedisAway as error:
                problems.append(str(error))
                continue
            if not isinstance(reply, ReplyError):
                return _slot_table(reply, address[0])
            problems.append(f"Redis {shown(address)}: {reply}")
        raise RedisAway("; ".join(problems))

    def _ask_node(self, address: Address, *command: Argument) -> Reply:
        """Ask on the connection to a primary, or on one made for it: a node of redis.url may be a replica."""
        known = self._connections.get(address)
        if known is not None and not known.is_stale():
            return known.call(*command)
        node = RedisConnection(self.place, address, self._settings)
        try:
            return node.call(*command)
        finally:
            node.close()


def facts_of(connection: RedisConnection, *sections: str) -> dict[str, str]:
    """What INFO says in these sections; raises `RedisAway`."""
    reply = connection.call("INFO", *sections)
    if isinstance(reply, ReplyError) and code_of(reply) == "ERR":
        # Redis before 7.0 takes one section at a time.
        reply = connection.call("INFO")
    if isinstance(reply, ReplyError):
        raise RedisAway(f"Redis {connection.name}: {reply}")
    lines = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def _codes_of(replies: Sequence[Reply]) -> set[str]:
    """The words of all errors, and "" for what was answered."""
    return {code_of(reply) if isinstance(reply, ReplyError) else "" for reply in replies}


def asked_address(error: ReplyError) -> Address:
    """The node that an ASK or MOVED names: ``ASK 3999 10.0.0.5:6381``."""
    host, _, port = str(error).split(" ")[2].rpartition(":")
    return host, int(port)


def is_new_enough(version: str) -> bool:
    """Whether a ``redis_version`` is VERSION_MIN or newer; Valkey calls itself 7.2.4 there."""
    numbers = version.split(".")
    if len(numbers) < 2 or not all(part.isdigit() for part in numbers[:2]):
        return False
    return (int(numbers[0]), int(numbers[1])) >= VERSION_MIN


def _slot_table(reply: Sequence[Sequence[Reply]], asked_host: str) -> list[Address]:
    """The primary of each slot, `SERVER` where there is none.  A node without a known host is the one that was asked."""
    table = [SERVER] * 16384
    for first, last, primary, *_ in reply:
        host = primary[0].decode() if primary[0] else asked_host
        table[first : last + 1] = [(host, primary[1])] * (last + 1 - first)
    return table
