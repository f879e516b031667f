"""A gateway that was cut off for longer than the shard's memory reaches back: its readers miss nothing."""

from collections.abc import Callable

import pytest

from broker.history import Window
from client.updates import Connected, Gap
from runtime.schema import GatewaySettings
from runtime.sockets import SocketNetwork
from runtime.transport import Network, Transport
from tests.support.cluster import Cluster, cluster
from tests.support.history import violations
from tests.support.people import ROOM, Person, epochs_of, log_of, person
from wire.client_codec import Form
from wire.client_messages import Ack, Event, Joined, Skipped, Stale

TAIL = 20
FAST = GatewaySettings(drain_deadline_s=1.0, drain_notice_s=0.0, publish_rate_per_s=1e6, publish_burst=10**6)


class Cable(SocketNetwork):
    """The network of one node, whose connections to others can be pulled out and put back."""

    def __init__(self) -> None:
        self.is_in = True
        self._links: list[Transport] = []

    async def connect(self, host: str, port: int) -> Transport:
        if not self.is_in:
            raise ConnectionRefusedError("the cable is out")
        transport = await super().connect(host, port)
        self._links.append(transport)
        return transport

    def pull(self) -> None:
        self.is_in = False
        while self._links:
            self._links.pop().abort()


def networks(cable: Cable) -> Callable[[str], Network]:
    return lambda node: cable if node == "gateway-1" else SocketNetwork()


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.tail.ROOM_TAIL_EVENTS_MAX", TAIL)


def check(play: Cluster, *people: Person) -> None:
    log = log_of(play.journal, ROOM, epochs_of(people))
    assert violations([somebody.witness for somebody in people], log) == []


async def test_a_hole_larger_than_the_shards_memory_is_filled_for_all_readers_with_one_read(short_memory: None) -> None:
    cable = Cable()
    async with (
        cluster(gateways=2, networks=networks(cable), gateway=FAST) as play,
        person("Ada", [play.gateways["gateway-1"].url]) as ada,
        person("Amy", [play.gateways["gateway-1"].url], form=Form.JSON) as amy,
        person("Bob", [play.gateways["gateway-2"].url]) as bob,
    ):
        assert isinstance(await bob.say("before", "before"), Ack)
        for reader in (ada, amy):
            await reader.wait_for_text("before")
        cable.pull()
        for number in range(6 * TAIL):
            await bob.say(f"line {number}", f"line-{number}")
        await ada.wait_for_kind(Stale)
        cable.is_in = True
        await bob.say("after", "after")
        for reader in (ada, amy):
            await reader.wait_for_text("after")
            assert reader.texts == ["before", *(f"line {number}" for number in range(6 * TAIL)), "after"]
            assert not any(isinstance(update, Skipped | Gap) for update in reader.updates)
        assert play.gateways["gateway-1"].counters.repair_reads == 1
        assert [update.stale for update in ada.updates if isinstance(update, Stale)] == [True, False]
        check(play, ada, amy, bob)


async def test_who_comes_from_the_other_gateway_during_the_repair_goes_on_where_it_was(short_memory: None) -> None:
    cables = {"gateway-1": Cable(), "gateway-2": Cable()}
    async with (
        cluster(gateways=2, networks=lambda node: cables.get(node) or SocketNetwork(), gateway=FAST) as play,
        person("Bob", [gateway.url for gateway in play.gateways.values()]) as bob,
    ):
        await bob.wait_for_kind(Joined)
        (here,) = [update.server for update in bob.updates if isinstance(update, Connected)]
        (other,) = {*cables} - {here}
        async with person("Ada", [play.gateways[other].url]) as ada:
            await bob.say("before", "before")
            await ada.wait_for_text("before")
            cables[other].pull()
            for number in range(4 * TAIL):
                await bob.say(f"line {number}", f"line-{number}")
            await bob.wait_for_text(f"line {4 * TAIL - 1}")
            await play.gateways[here].kill()
            cables[other].is_in = True
            await bob.say("after", "after")
            for reader in (ada, bob):
                await reader.wait_for_text("after")
                assert len(reader.texts) == 4 * TAIL + 2
            assert [update for update in bob.updates if isinstance(update, Joined)][-1].recovered
            check(play, ada, bob)


async def test_a_line_removed_while_the_gateway_was_cut_off_is_never_shown_to_who_comes_later(short_memory: None) -> None:
    cable = Cable()
    async with (
        cluster(gateways=2, networks=networks(cable), gateway=FAST) as play,
        person("Ada", [play.gateways["gateway-1"].url]) as ada,
        person("Bob", [play.gateways["gateway-2"].url]) as bob,
    ):
        said = await bob.say("a secret", "secret")
        assert isinstance(said, Ack)
        await ada.wait_for_text("a secret")
        cable.pull()
        assert isinstance(await bob.client.delete(ROOM, said.offset, "removal"), Ack)
        for number in range(3 * TAIL):
            await bob.say(f"line {number}", f"line-{number}")
        cable.is_in = True
        await ada.wait_for_text(f"line {3 * TAIL - 1}")
        async with person("Late", [play.gateways["gateway-1"].url]) as late:
            await late.wait_for_text(f"line {3 * TAIL - 1}")
            first = next(update for update in late.updates if isinstance(update, Event))
            assert (first.offset, first.text, first.removed) == (said.offset, "", "author")


async def test_what_the_journal_has_let_go_of_meanwhile_is_announced_exactly(short_memory: None) -> None:
    cable = Cable()
    async with (
        cluster(gateways=2, networks=networks(cable), gateway=FAST) as play,
        person("Ada", [play.gateways["gateway-1"].url]) as ada,
        person("Bob", [play.gateways["gateway-2"].url]) as bob,
    ):
        await bob.say("before", "before")
        await ada.wait_for_text("before")
        cable.pull()
        lines = 5 * TAIL
        for number in range(lines):
            await bob.say(f"line {number}", f"line-{number}")
        # Out of reach of every read: as if the journal had trimmed it, but at a moment of the test's choice.
        monkey = pytest.MonkeyPatch()
        monkey.setattr("broker.loading.window_of", _nothing_kept)
        try:
            cable.is_in = True
            await ada.wait_for_text(f"line {lines - 1}")
        finally:
            monkey.undo()
        (skipped,) = [update for update in ada.updates if isinstance(update, Skipped)]
        assert (skipped.first, skipped.last) == (2, lines + 1 - TAIL)
        assert len(ada.texts) == 1 + TAIL
        check(play, ada, bob)


def _nothing_kept(question: object, head: int, first_kept: int) -> Window:
    return Window(head, head, backwards=False)
