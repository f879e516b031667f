"""Programs of this version and of the one before side by side: whichever side of a link is older, everything works."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support.fleet import HOST, Fleet, Node, Role, free_ports
from tests.support.older_program import LATER_WORD
from tests.support.people import Person, person
from tests.support.redis_server import RedisServer, redis_server
from tests.support.tree import ROOT
from wire.client_messages import Ack, Refused

on_a_thread = trio.to_thread.run_sync
ROOMS = ("square/main", "square/back", "election/candidate-7")


class MixedFleet(Fleet):
    """A fleet in which one role is older."""

    older: Role = "gateway"

    def command(self, node: Node) -> list[str]:
        words = super().command(node)
        if node.role == self.older:
            words[words.index("parvis")] = "tests.support.older_program"
        return words


@contextmanager
def fleet_of(directory: Path, older: Role, settings: dict[str, str]) -> Iterator[MixedFleet]:
    """Two shards and a gateway, not started; in a static directory the gateway follows the newer map."""
    ports = free_ports(6)
    shards = {"shard-1": ports[0], "shard-2": ports[1]}
    at = ",".join(f"{name}={HOST}:{port}" for name, port in shards.items())
    with MixedFleet(directory, {"cluster.shards": at, "log.form": "json", **settings}) as fleet:
        fleet.older = older
        for name, admin_port in zip(shards, ports[2:4], strict=True):
            fleet.add(name, "broker", port=shards[name], admin_port=admin_port, settings={"broker.weight": "100"})
        newer = {} if "cluster.directory" in settings else {"cluster.map_version": "2"}
        fleet.add("gateway-1", "gateway", port=ports[4], admin_port=ports[5], settings=newer)
        yield fleet


@contextmanager
def clustered(directory: Path, older: Role) -> Iterator[tuple[MixedFleet, RedisServer]]:
    """The same over a directory in Redis, with maps that change."""
    with ExitStack() as held:
        redis = held.enter_context(redis_server(directory / "redis"))
        settings = {"cluster.directory": "redis", "journal.kind": "redis", "redis.url": redis.url}
        yield held.enter_context(fleet_of(directory, older, settings)), redis


async def converse(speaker: Person, reader: Person, lines: int, tag: str) -> None:
    """Each line is acknowledged and read."""
    with trio.fail_after(30):
        for number in range(lines):
            assert isinstance(await speaker.say(f"{tag} {number}", f"{tag}-{number}"), Ack)
    await reader.wait_for_text(f"{tag} {lines - 1}")


def nothing_was_misunderstood(fleet: Fleet) -> None:
    assert list(fleet.troubles()) == []
    for node in fleet.nodes.values():
        assert LATER_WORD not in node.log.read_text(), f"{node.name} was told something that it does not know"
        if node.role == "broker":
            assert fleet.counter(node.name, "parvis_broker_link_errors_total") == 0


@pytest.mark.parametrize("older", ["gateway", "broker"])
async def test_rooms_work_whichever_side_of_the_links_is_older(tmp_path: Path, older: Role) -> None:
    with fleet_of(tmp_path, older, {}) as fleet:
        await on_a_thread(fleet.start, *fleet.nodes)
        urls = [f"ws://{HOST}:{fleet.nodes['gateway-1'].port}"]
        for room in ROOMS:
            async with person("Ada", urls, room=room) as ada, person("Bob", urls, room=room) as bob:
                await converse(ada, bob, 12, "line")
                await converse(bob, ada, 3, "answer")
                removed = await ada.client.delete(room, 2)
                assert isinstance(removed, Ack)
                page = await ada.client.history(room, before=11, limit=5)
                assert not isinstance(page, Refused)
                assert [event.text for event in page.events] == [f"line {n}" for n in range(5, 10)]
                async with person("Late", urls, room=room, history=2) as late:
                    await converse(ada, late, 1, "last")
        nothing_was_misunderstood(fleet)


@pytest.mark.parametrize("older", ["gateway", "broker"])
async def test_later_words_stay_unsaid_while_maps_change_and_leases_lapse(tmp_path: Path, older: Role) -> None:
    with clustered(tmp_path, older) as (fleet, redis):
        await on_a_thread(fleet.start, *fleet.nodes)
        urls = [f"ws://{HOST}:{fleet.nodes['gateway-1'].port}"]
        async with (
            person("Ada", urls, room=ROOMS[0]) as ada, person("Bob", urls, room=ROOMS[0]) as bob,
            person("Cy", urls, room=ROOMS[2]) as cy, person("Di", urls, room=ROOMS[2]) as di,
        ):  # fmt: skip
            await converse(ada, bob, 5, "before")
            await converse(cy, di, 5, "before")
            for word, shard in (("drain", "shard-1"), ("add", "shard-1"), ("drain", "shard-2")):
                ended = await on_a_thread(partial(fleet.parvis, "cluster", word, shard))
                assert ended.returncode == 0, ended.stderr
                await converse(ada, bob, 5, f"{word}-{shard}")
                await converse(cy, di, 5, f"{word}-{shard}")
            # Longer than a lease: shards of this version doubt themselves, and would say so.
            redis.freeze()
            await trio.sleep(2.5)
            redis.thaw()
            await converse(ada, bob, 5, "after")
            await converse(cy, di, 5, "after")
        nothing_was_misunderstood(fleet)


def test_the_older_program_is_older() -> None:
    """It offers version 1 alone, and what came later is no message to it."""
    program = (
        "from tests.support.older_program import become_older; from wire import node_messages as words;"
        "news = words.encode_node_message(words.MapNews(1)); become_older();"
        "from runtime import link_handshake; assert link_handshake.LINK_VERSION == 1;"
        "words.decode_node_message(news)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert LATER_WORD in ended.stderr
