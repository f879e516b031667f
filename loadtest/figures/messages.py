"""What a master and its workers say to each other.  Pure.

msgpack arrays, each behind four bytes of length (`runtime.link_frames`).  All times are
microseconds of the *master's* monotonic clock: a worker of the same machine has that clock,
one of another machine knows its own offset to it, with the error of knowing (`Welcome`).

    worker  Hello                        who it is, which scenario it has, what it can carry
    master  Probe ... worker Probed      clocks, some rounds
    master  Welcome                      or Rejected, with a sentence
    master  Prepare                      the whole order of the run
    worker  Ready                        or Failed, with a sentence
    master  Start                        all begin at one moment
    master  Goal                         how many users of each class, now; as often as that changes
    worker  Beat                         once a second: everything measured since the last one
    master  Hit                          a fault on demand
    master  Hush                         nothing is published any more
    worker  Hushed                       its last acknowledgements are in the beat before it
    master  Finish                       audits are closed against the heads, then all leave
    worker  Ended                        its last beat is before it
    master  Quit                         the worker's process may end

`Hush` comes before `Finish` because the heads of all rooms are known only when nobody, on any
worker, has a message on its way.
"""

from typing import Final

from msgspec import Struct

MESSAGES_VERSION: Final = 1

# --- what is measured -----------------------------------------------------------------------------

# Plain counts of a beat, each since the beat before.  A count that is 0 is left out.
COUNTS: Final = {
    "connects": "connections that were welcomed",
    "connects_failed": "connections that came to nothing, refused ones too",
    "disconnects": "connections that ended without our wish",
    "resumes": "welcomes of somebody who had been connected before, moves too",
    "resumes_recovered": "rooms of these that went on without a hole",
    "resumes_reset": "rooms of these that could not go on: the server said why",
    "moves": "connections changed because the server said goaway",
    "publishes": "messages sent, retries not counted",
    "acked": "messages acknowledged",
    "refused": "messages refused for good",
    "unknown": "messages whose outcome nobody knows",
    "deliveries": "event frames received, by readers and auditors",
    "bytes_received": "bytes of all frames received",
    "slots": "moments of the plan at which a message was due",
    "slots_late": "of these, begun more than LATE_SLOT_S after their moment",
    "slots_missed": "of these, never begun: nobody was free, or the generator was too late",
    "skipped": "offsets that the server announced it would not send: no loss",
    "misbehaved": "clients that were made slow, silent, malformed or offline on purpose",
    "misbehaved_ended": "connections that the server ended for it: no disconnects",
    "audited": "events decoded and checked by auditors",
    # What must not happen; a Finding names the first ones.
    "lost": "offsets that were neither sent nor announced",
    "undelivered": "offsets that had not come when the run was over, and the time to settle with it",
    "duplicated": "offsets, or ids, that came twice",
    "reordered": "offsets that came after a later one",
    "wrong_room": "events of a room that was not joined, or with a stamp of another room",
    "altered": "events whose text is not what was published, or that differ between readers",
    "resume_gap": "offsets missing after a resume that the server called recovered",
    "protocol": "frames that no server may send",
}  # fmt: skip
VIOLATIONS: Final = ("lost", "undelivered", "duplicated", "reordered", "wrong_room", "altered", "resume_gap", "protocol")


class Row(Struct, frozen=True, array_like=True):
    """One row's part of a beat; `latencies` is `Latencies.encode()` of `count` samples that sum up to `total_us`."""

    kind: str
    name: str
    count: int
    total_us: int
    latencies: bytes
    failures: int
    errors: dict[str, int]
    bytes: int


class Finding(Struct, frozen=True, array_like=True):
    """Something that must not happen, and where: `kind` is one of VIOLATIONS."""

    kind: str
    room: str
    offset: int
    """The first offset it is about; 0 when it is about none."""
    count: int
    client: str
    """Who saw it."""
    detail: str
    """One plain sentence."""


class Placed(Struct, frozen=True, array_like=True):
    """What stands at offsets of one room: (offset, id hash) pairs, flat; from acknowledgements, or as auditors read it."""

    room: str
    epoch: str
    pairs: list[int]
    watched: list[int] = []
    """(first, last) offsets, flat, for all of which an auditor was there: told when it leaves the log or the run."""


class Raised(Struct, frozen=True, array_like=True):
    """An exception that a scenario's own code raised, and how often."""

    count: int
    message: str
    """Type and words, as Python prints them."""
    traceback: str


class Health(Struct, frozen=True, array_like=True):
    """How the generator itself is doing, over the time of the beat."""

    cpu_share: float
    """Of one core."""
    rss_bytes: int
    lag_us_max: int
    """How late the event loop woke at worst."""
    late_us_max: int
    """How late a slot of the plan was begun at worst."""
    open_fds: int


class Beat(Struct, frozen=True, array_like=True, tag=True):
    """All that one worker has measured since its last one."""

    number: int
    """From 1."""
    at_us: int
    users: dict[str, int]
    """Living users of each class."""
    connected: int
    servers: dict[str, int]
    """Connections by the name of the gateway."""
    rows: list[Row]
    counts: dict[str, int]
    findings: list[Finding]
    acked: list[Placed]
    seen: list[Placed]
    refusals: dict[str, int]
    """Connections that failed or ended, by code: ``4007``, ``http 503``, ``refused`` ..."""
    health: Health
    stops: list[str] = []
    """Sentences of why the worker thinks that its own figures are worth nothing."""
    raised: list[Raised] = []
    """By tasks, since the beat before."""
    wish: str = ""
    """Why the scenario wants the run to end; empty while it does not."""


# --- the worker says ---------------------------------------------------------------------------------


class Hello(Struct, frozen=True, array_like=True, tag=True):
    """First words of a worker.  `proof` is what `master/channel.py` makes of the nonces and the secret, empty without one."""

    version: int
    parvis: str
    """Version of the program: two of them may measure differently."""
    name: str
    host: str
    boot_id: str
    """Two processes with one boot id have one monotonic clock."""
    pid: int
    cores: int
    scenario: str
    """SHA-256 of the scenario's file, in hex: a worker loads its own copy, code never travels."""
    clients_max: int
    """How many sockets its limit of descriptors leaves."""
    nonce: bytes
    proof: bytes


class Probed(Struct, frozen=True, array_like=True, tag=True):
    n: int
    at_us: int
    """The worker's own monotonic clock."""


class Ready(Struct, frozen=True, array_like=True, tag=True):
    """Prepared: it waits for `Start`."""


class Failed(Struct, frozen=True, array_like=True, tag=True):
    """It cannot go on; `sentence` says what to change, `code` is the exit code that follows (`loadtest/verdicts/verdict.py`)."""

    sentence: str
    code: int


class Hushed(Struct, frozen=True, array_like=True, tag=True):
    """No task runs any more and no message is on its way; readers and auditors are still there."""


class Ended(Struct, frozen=True, array_like=True, tag=True):
    """All users have left and the audits are closed."""


# --- the master says -----------------------------------------------------------------------------------


class Challenge(Struct, frozen=True, array_like=True, tag=True):
    """First words of a master."""

    version: int
    nonce: bytes


class Probe(Struct, frozen=True, array_like=True, tag=True):
    n: int
    """Comes back as it is; once the run is on, the moment at which it was sent."""


class Welcome(Struct, frozen=True, array_like=True, tag=True):
    """The worker belongs to the run.  Master's clock = worker's clock + `offset_us`, to within `error_us`."""

    index: int
    """From 0; no two workers of a run have the same."""
    offset_us: int
    error_us: int
    proof: bytes = b""
    """That the master knows the secret as well: a worker dials where it is told to, and not for anybody."""


class Rejected(Struct, frozen=True, array_like=True, tag=True):
    sentence: str


class Prepare(Struct, frozen=True, array_like=True, tag=True):
    """What is the same for the whole run."""

    run: str
    """A short random name: part of every message id, so that two runs never share one."""
    seed: int
    hosts: list[str]
    """Websocket addresses of gateways."""
    source_ips: list[str]
    tags: list[str]
    exclude_tags: list[str]
    connects_per_s_max: float
    """Of this worker."""
    options: dict[str, str]
    """The scenario's own options, as given on the command line."""
    workers: int = 1
    """How many are expected: with its own index a worker knows which part of the rooms it begins with."""


class Start(Struct, frozen=True, array_like=True, tag=True):
    """The run's zero: slots of the plan count from it.  It lies in the future when this is sent."""

    at_us: int


class Stretch(Struct, frozen=True, array_like=True):
    """An open-model plan from one moment on (`workers/arrivals.py`): slot i is due `(i - first) / per_s` after `first_us`."""

    at_us: int
    first: int
    """The number of the first slot that is due at `at_us` or later."""
    first_us: int
    """Its moment."""
    per_s: float
    """Of all workers together."""
    turn: int
    of: int
    """This worker serves the slots whose number leaves `turn` when divided by `of`."""


class Goal(Struct, frozen=True, array_like=True, tag=True):
    """What this worker shall have, from now on."""

    users: dict[str, int]
    """Of each class, by name; none of a class that is not named."""
    spawn_per_s: float
    """Users to start or stop a second, of this worker."""
    arrivals: dict[str, Stretch]
    """The plan of each class that has one; told some time before it holds."""


class Hit(Struct, frozen=True, array_like=True, tag=True):
    """A fault that clients make: so many of them become `kind` (`loadtest/readers/faults.py`)."""

    kind: str
    count: int
    seconds: float


class Hush(Struct, frozen=True, array_like=True, tag=True):
    """Tasks end, those that still run after `stop_timeout_s` by cancellation; readers and auditors stay connected."""

    stop_timeout_s: float


class Finish(Struct, frozen=True, array_like=True, tag=True):
    """Auditors must reach `heads` (room -> epoch, offset) within `settle_s`; then all leave, tasks that run at once."""

    heads: dict[str, tuple[str, int]]
    settle_s: float


class Quit(Struct, frozen=True, array_like=True, tag=True):
    """The worker's process may end."""


WorkerMessage = Hello | Probed | Ready | Beat | Failed | Hushed | Ended
MasterMessage = Challenge | Probe | Welcome | Rejected | Prepare | Start | Goal | Hit | Hush | Finish | Quit
