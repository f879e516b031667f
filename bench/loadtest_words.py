"""What `bench.loadtest` and its processes say to each other, in lines of JSON."""

from msgspec import Struct


class Crowd(Struct, frozen=True):
    """A crowd of readers in one process, its order; each kind of reading process takes it."""

    urls: list[str]
    rooms: list[str]
    """Each reader is in one of them, in turn."""
    clients: int
    connects_per_s: float
    source_ips: list[str] = []


class Gathered(Struct, frozen=True):
    """Everybody is welcomed, and it has been quiet for a moment."""

    clients: int
    seconds: float
    connect_p50_ms: float
    connect_p99_ms: float
    kib_per_client: float
    """Growth of the process's resident memory, a client."""


class Mark(Struct, frozen=True):
    """Where a reading process stands; two of them make a measurement."""

    cpu_s: float
    frames: int
    """Event frames that were received, checked and timed."""
    receives: int
    """Receives that brought them; 0 where it cannot be counted."""
    clients: int
    violations: int
    p50_ms: float
    p99_ms: float
    """Of deliveries since the mark before."""


class Emit(Struct, frozen=True):
    """So many events, each to every connection, so many a second."""

    events: int
    per_s: float


class Emitted(Struct, frozen=True):
    frames: int
    blocked: int
    """Sends that a full socket did not take: none, or the crowd is too slow."""
    late_ms: float
    """How late an event was begun at worst."""
