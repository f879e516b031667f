"""The link secret is changed in three rounds of restarts, and in none of them is a link refused."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support.fleet import HOST, Fleet, NodeFailed, free_ports
from tests.support.people import person
from tests.support.redis_server import redis_server
from wire.client_messages import Ack

on_a_thread = trio.to_thread.run_sync
OLD, NEW = "o" * 64, "n" * 64
# What docs/cluster.md says: first all know both, then all speak the new one, then the old one is forgotten.
ROUNDS = ([OLD, NEW], [NEW, OLD], [NEW])


class SecretFleet(Fleet):
    """A shard and a gateway, each with a secret file of its own."""

    def write(self, name: str, secrets: list[str]) -> None:
        (self.directory / f"{name}.secret").write_text("\n".join(secrets) + "\n")

    def restart(self, name: str) -> None:
        self.ask_to_leave(name)
        assert self.wait_left(name) == 0
        self.start(name)

    def said(self) -> str:
        return "".join(node.log.read_text() for node in self.nodes.values())


@contextmanager
def fleet_of(directory: Path, kind: str) -> Iterator[SecretFleet]:
    """Started with the old secret."""
    with ExitStack() as held:
        ports = free_ports(4)
        settings = {"cluster.shards": f"shard-1={HOST}:{ports[0]}", "gateway.drain_notice_s": "0", "log.level": "debug"}
        if kind == "redis":
            redis = held.enter_context(redis_server(directory / "redis"))
            settings |= {"cluster.directory": "redis", "journal.kind": "redis", "redis.url": redis.url}
        fleet = held.enter_context(SecretFleet(directory, settings))
        for name, role, port, admin_port in (("shard-1", "broker", *ports[:2]), ("gateway-1", "gateway", *ports[2:])):
            own = {"cluster.secret_file": str(directory / f"{name}.secret")}
            if role == "broker":
                own["broker.weight"] = "100"
            fleet.add(name, role, port=port, admin_port=admin_port, settings=own)  # type: ignore[arg-type]  # one of two
            fleet.write(name, [OLD])
        fleet.start(*fleet.nodes)
        yield fleet


@pytest.mark.parametrize("kind", ["static", "redis"])
async def test_three_rounds_of_restarts_change_the_secret_and_no_link_is_refused(tmp_path: Path, kind: str) -> None:
    with fleet_of(tmp_path, kind) as fleet:
        urls = [f"ws://{HOST}:{fleet.nodes['gateway-1'].port}"]
        async with person("Ada", urls) as ada:
            # Either side may come first: here once this one, once that one.
            for number, secrets in enumerate(ROUNDS):
                for name in sorted(fleet.nodes, reverse=bool(number % 2)):
                    fleet.write(name, secrets)
                    await on_a_thread(fleet.restart, name)
                    with trio.fail_after(60):
                        assert isinstance(await ada.say(f"{number} {name}", f"{number}-{name}"), Ack)
            assert fleet.counter("shard-1", "parvis_broker_link_refusals_total") == 0
        assert "link refused" not in fleet.said()
        assert "link_refused" not in fleet.said()
        assert list(fleet.troubles()) == []


@pytest.mark.parametrize("kind", ["static", "redis"])
async def test_a_node_that_leaves_the_first_round_out_is_refused_and_says_why(tmp_path: Path, kind: str) -> None:
    with fleet_of(tmp_path, kind) as fleet:
        fleet.write("gateway-1", [NEW, OLD])
        await on_a_thread(fleet.kill, "gateway-1")
        fleet.launch("gateway-1")
        with pytest.raises(NodeFailed):
            await on_a_thread(partial(fleet.wait_ready, "gateway-1", deadline_s=8.0))
        assert "the client's proof fits none of this node's link secrets" in fleet.said()
