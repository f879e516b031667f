"""The whole path over real sockets: gateway, router, shard, journal, and back to every member."""

from pathlib import Path

import pytest
import trio

from broker.journal.sqlite import SqliteJournal
from client.updates import Connected, Reconnecting
from runtime.schema import GatewaySettings
from tests.support.cluster import Cluster, cluster
from tests.support.history import violations
from tests.support.people import ROOM, Person, epochs_of, log_of, person
from wire.client_codec import Form
from wire.client_messages import Ack, Event, Hide, Joined, Refused


def check(play: Cluster, *people: Person) -> None:
    log = log_of(play.journal, people[0].room, epochs_of(people))
    assert violations([somebody.witness for somebody in people], log) == []


async def test_people_at_two_gateways_and_in_two_forms_read_the_same_in_one_order() -> None:
    async with (
        cluster(shards=2, gateways=2) as play,
        person("Ada", [play.gateways["gateway-1"].url]) as ada,
        person("Bob", [play.gateways["gateway-2"].url], form=Form.JSON) as bob,
    ):
        for number in range(10):
            assert isinstance(await ada.say(f"a{number}", f"ada-{number}"), Ack)
            assert isinstance(await bob.say(f"b{number} é €", f"bob-{number}"), Ack)
        await ada.wait_for_text("b9 é €")
        await bob.wait_for_text("b9 é €")
        assert ada.texts == bob.texts
        assert len(ada.texts) == 20
        check(play, ada, bob)


async def test_rooms_on_every_shard_are_reached_through_one_gateway() -> None:
    async with cluster(shards=3, gateways=1) as play:
        for number in range(12):
            room = f"election/candidate-{number}"
            async with person("Ada", [play.gateways["gateway-1"].url], room=room, seed=number) as ada:
                assert isinstance(await ada.say("question", f"q-{number}"), Ack)
                await ada.wait_for_text("question")
        assert all(node.counters.events_committed for node in play.shards.values())


async def test_a_late_reader_gets_the_history_and_then_goes_on_live() -> None:
    async with cluster() as play:
        url = play.gateways["gateway-1"].url
        async with person("Ada", [url]) as ada:
            for number in range(30):
                await ada.say(f"line {number}", f"m{number}")
            async with person("Late", [url], history=5) as late:
                await late.wait_for_text("line 29")
                await ada.say("live", "live")
                await late.wait_for_text("live")
                assert late.texts == [f"line {number}" for number in range(25, 30)] + ["live"]
                page = await late.client.history(ROOM, before=26, limit=10)
                assert not isinstance(page, Refused)
                assert [event.text for event in page.events] == [f"line {number}" for number in range(15, 25)]
                check(play, ada, late)


async def test_the_same_id_is_said_once_and_with_another_text_refused() -> None:
    async with cluster() as play, person("Ada", [play.gateways["gateway-1"].url]) as ada:
        first = await ada.client.publish(ROOM, "once", "same")
        again = await ada.client.publish(ROOM, "once", "same")
        other = await ada.client.publish(ROOM, "twice?", "same")
        assert isinstance(first, Ack)
        assert isinstance(again, Ack)
        assert (again.offset, again.duplicate) == (first.offset, True)
        assert isinstance(other, Refused)
        assert other.code == "id_reused"
        await ada.say("end", "end")
        await ada.wait_for_text("end")
        assert ada.texts == ["once", "end"]


async def test_a_deleted_message_leaves_screens_history_and_journal_at_once(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite", new_store_id="a-test-store")
    async with cluster(journal=journal) as play:
        url = play.gateways["gateway-1"].url
        async with person("Ada", [url]) as ada, person("Bob", [url]) as bob:
            sent = await ada.say("a secret", "s")
            assert isinstance(sent, Ack)
            await ada.client.edit(ROOM, sent.offset, "a secret, edited")
            refused = await bob.client.delete(ROOM, sent.offset)
            assert isinstance(refused, Refused)
            assert refused.code == "forbidden"
            assert isinstance(await ada.client.delete(ROOM, sent.offset), Ack)
            await bob.wait_for_kind(Hide)
            await bob.wait_for(lambda: any(isinstance(u, Event) and u.kind == "delete" for u in bob.updates))
            async with person("Late", [url]) as late:
                await late.wait_for(lambda: any(isinstance(u, Event) and u.kind == "delete" for u in late.updates))
                assert not any("secret" in text for text in late.texts)
            page = await bob.client.history(ROOM)
            assert not isinstance(page, Refused)
            assert not any("secret" in event.text for event in page.events)
    journal.close()
    assert b"a secret" not in (tmp_path / "journal.sqlite").read_bytes()


async def test_a_shard_that_dies_in_mid_conversation_costs_no_acknowledged_line(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite", new_store_id="a-test-store")
    async with cluster(gateways=2, journal=journal) as play:
        urls = [gateway.url for gateway in play.gateways.values()]
        async with person("Ada", urls[:1]) as ada, person("Bob", urls[1:]) as bob, trio.open_nursery() as nursery:

            async def chatter(somebody: Person) -> None:
                for number in range(40):
                    await somebody.say(f"{somebody.name} {number}", f"{somebody.name}-{number}")
                    await trio.sleep(0.01)

            nursery.start_soon(chatter, ada)
            nursery.start_soon(chatter, bob)
            for _ in range(3):
                await trio.sleep(0.15)
                await play.shards["shard-1"].kill()
                await play.start_shard("shard-1")
            with trio.fail_after(30):
                await ada.wait_for_text("Bob 39")
                await bob.wait_for_text("Ada 39")
        assert not any(isinstance(update, Reconnecting) for update in ada.updates), "clients stay connected"
        check(play, ada, bob)
    journal.close()


@pytest.mark.parametrize("leave", ["kill", "drain"])
async def test_a_gateway_that_leaves_is_replaced_by_another_without_a_gap(leave: str) -> None:
    async with cluster(gateways=2) as play:
        urls = [gateway.url for gateway in play.gateways.values()]
        async with person("Ada", urls) as ada, person("Bob", urls[::-1]) as bob, trio.open_nursery() as nursery:

            async def chatter() -> None:
                for number in range(60):
                    await bob.say(f"line {number}", f"b-{number}")
                    await trio.sleep(0.02)

            await ada.wait_for_kind(Joined)
            await bob.wait_for_kind(Joined)
            nursery.start_soon(chatter)
            await trio.sleep(0.2)
            (connected,) = [update for update in ada.updates if isinstance(update, Connected)]
            await getattr(play.gateways[connected.server], leave)()
            await ada.wait_for_text("line 59")
            await bob.wait_for_text("line 59")
        check(play, ada, bob)
        if leave == "drain":
            assert not any(isinstance(update, Reconnecting) for update in ada.updates + bob.updates), "no visible reconnect"


async def test_a_reader_that_stops_reading_is_closed_and_resumes_while_others_notice_nothing() -> None:
    settings = GatewaySettings(
        drain_deadline_s=1.0, drain_notice_s=0.0, outbox_behind_bytes_max=32 * 1024, publish_rate_per_s=1e6, publish_burst=10**6
    )
    async with cluster(gateway=settings) as play:
        url = play.gateways["gateway-1"].url
        gate = Gate()

        async def slow_dial(dialled: str) -> trio.abc.Stream:
            stream = await trio.open_tcp_stream("127.0.0.1", int(dialled.rpartition(":")[2]))
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
            return Gated(stream, gate)

        async with person("Ada", [url]) as ada, person("Slow", [url], dial_url=slow_dial) as slow:
            await slow.wait_for_kind(Joined)
            for number in range(400):
                await ada.say("x" * 400 + f" {number}", f"m{number}")
                if number == 5:
                    gate.shut()
            await ada.wait_for(lambda: len(ada.texts) == 400)
            assert play.gateways["gateway-1"].counters.slow_closed == 1
            gate.open()
            await slow.wait_for(lambda: len(slow.texts) == 400)
            check(play, ada, slow)


class Gate:
    """Open, or shut until `open` is called."""

    def __init__(self) -> None:
        self._opened = trio.Event()
        self._opened.set()

    def shut(self) -> None:
        self._opened = trio.Event()

    def open(self) -> None:
        self._opened.set()

    async def wait(self) -> None:
        await self._opened.wait()


class Gated(trio.abc.Stream):
    """A stream that gives no bytes while its gate is shut: a reader that stops reading."""

    def __init__(self, stream: trio.SocketStream, gate: Gate) -> None:
        self._stream = stream
        self._gate = gate

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await self._gate.wait()
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def test_a_journal_restart_keeps_every_acknowledged_line_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    token = None
    for run in range(3):
        journal = SqliteJournal(path, new_store_id="a-test-store")
        async with (
            cluster(journal=journal, map_version=run + 1) as play,
            person("Ada", [play.gateways["gateway-1"].url], guest_token=token, seed=run) as ada,
        ):
            ack = await ada.say(f"run {run}", f"run-{run}")
            assert isinstance(ack, Ack)
            assert ack.offset == run + 1
            await ada.wait_for_text(f"run {run}")
            assert ada.texts == [f"run {number}" for number in range(run + 1)]
            repeated = await ada.client.publish(ROOM, "run 0", "run-0")
            assert isinstance(repeated, Ack)
            assert (repeated.offset, repeated.duplicate) == (1, True)
            token = ada.client.guest_token
        journal.close()


async def test_a_crowd_of_speakers_is_heard_in_one_order() -> None:
    settings = GatewaySettings(publish_rate_per_s=1e6, publish_burst=10**6)
    async with cluster(shards=2, gateways=2, gateway=settings) as play, trio.open_nursery() as nursery:
        urls = [gateway.url for gateway in play.gateways.values()]
        done: list[Person] = []

        async def somebody(number: int) -> None:
            async with person(f"p{number}", urls, seed=number) as it:
                for line in range(20):
                    await it.say(f"{number}.{line}", f"{number}-{line}")
                await it.wait_for(lambda: len(it.texts) == 12 * 20, 40.0)
                done.append(it)

        for number in range(12):
            nursery.start_soon(somebody, number)
    check(play, *done)
    assert len({tuple(it.texts) for it in done}) == 1
