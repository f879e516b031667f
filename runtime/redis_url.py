"""Where a Redis is, read from ``redis.url``: one server, a set of sentinels, or a cluster.  Pure.

The forms of redis-py (``redis://``, ``rediss://``, ``unix://``) and, for what it has no form
of, ``redis+sentinel://host:port,host:port/NAME`` and ``redis+cluster://host:port,...``, with
``rediss+`` for TLS.  A password never stands in it: urls end up in logs and process lists.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379

Topology = Literal["server", "sentinel", "cluster"]
Address = tuple[str, int]

_SCHEMES: Final[dict[str, tuple[Topology, bool]]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?\Z")
_SERVICE: Final = re.compile(r"[A-Za-z0-9_.-]+\Z")
DATABASE_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where to begin: the server itself, sentinels that know it, or nodes of a cluster that know the others."""

    topology: Topology
    addresses: tuple[Address, ...] = ()
    """Empty for a unix socket."""
    path: str = ""
    """Of a unix socket."""
    service: str = ""
    """What the sentinels call the primary."""
    database: int = 0
    tls: bool = False

    def __str__(self) -> str:
        """For a sentence to an operator."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.addresses)
        if self.path:
            return self.path
        return f"{self.service} of sentinels {hosts}" if self.topology == "sentinel" else hosts


def parse_redis_url(url: str) -> RedisPlace:
    """Raises ValueError with what is wrong, to follow the words "redis.url"."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError(f"has {_shown(url)}; it begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    if "@" in rest:
        # Said without the url: what stands before the sign may be a password.
        raise ValueError("holds a name or password before an @; they belong into redis.username and redis.password_file")
    if scheme == "unix":
        return _unix(rest)
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in (*_SCHEMES, "unix"))
        raise ValueError(f"begins with {_shown(scheme)}://; known are {known}")
    if "?" in rest or "#" in rest:
        raise ValueError(f"has {_shown(url)}; nothing may follow a ? or #")
    topology, tls = _SCHEMES[scheme]
    hosts, _, tail = rest.partition("/")
    default_port = DEFAULT_SENTINEL_PORT if topology == "sentinel" else DEFAULT_PORT
    addresses = tuple(_address(each.strip(), default_port) for each in hosts.split(","))
    if topology == "server":
        if len(addresses) > 1:
            raise ValueError(f"names {len(addresses)} servers; several are redis+cluster:// or redis+sentinel://")
        return RedisPlace("server", addresses, database=_database(tail), tls=tls)
    if topology == "cluster":
        if tail not in ("", "0"):
            raise ValueError(f"names database {_shown(tail)}; a cluster has only database 0")
        return RedisPlace("cluster", addresses, tls=tls)
    service, _, database = tail.partition("/")
    if not _SERVICE.match(service):
        raise ValueError("does not say what the sentinels call the primary: redis+sentinel://host:port,host:port/NAME")
    return RedisPlace("sentinel", addresses, service=service, database=_database(database), tls=tls)


def _unix(rest: str) -> RedisPlace:
    path, _, query = rest.partition("?")
    if not path.startswith("/"):
        raise ValueError("names no absolute path: unix:///path/of/redis.sock, with ?db=1 for another database")
    name, _, database = query.partition("=")
    if query and name != "db":
        raise ValueError(f"has {_shown(query)} after the path; only db=NUMBER may stand there")
    return RedisPlace("server", path=path, database=_database(database))


def _address(text: str, default_port: int) -> Address:
    match = _ADDRESS.match(text)
    port = int(match[2] or default_port) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise ValueError(f"has {_shown(text)}; an address is host or host:port, with a port of 1 to 65535")
    return match[1].strip("[]"), port


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) > DATABASE_MAX:
        raise ValueError(f"names database {_shown(text)}; a database is a number")
    return int(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
