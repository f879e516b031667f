"""A store that fails over under a whole cluster: unnoticed while the shard lives, told to readers when it died as well."""

import trio

from broker.room import FORGOTTEN
from client.updates import Update
from tests.support.cluster import cluster
from tests.support.forgetful_journal import ForgetfulJournal
from tests.support.history import violations
from tests.support.people import ROOM, epochs_of, log_of, person
from wire.client_messages import Ack, Event, Reset


def kinds(updates: list[Update]) -> list[str]:
    return [type(update).__name__ for update in updates]


async def test_a_store_that_forgets_while_its_shard_lives_is_repaired_and_nobody_is_told() -> None:
    store = ForgetfulJournal("store")
    async with cluster(journal=store) as play, person("Ada", [play.gateways["gateway-1"].url]) as ada:
        await ada.say("kept", "a1")
        keep = store.changes
        await ada.say("forgotten", "a2")
        await ada.wait_for_text("forgotten")
        store.fail_over(keep)
        with trio.fail_after(20):
            while store.changes <= keep:
                await trio.sleep(0.02)
        await ada.say("goes on", "a3")
        await ada.wait_for_text("goes on")
        assert violations([ada.witness], log_of(store, ROOM, epochs_of([ada]))) == []
        assert ada.texts == ["kept", "forgotten", "goes on"]
        assert "Reset" not in kinds(ada.updates)
        counters = play.shards["shard-1"].counters
        assert (counters.events_repaired, counters.epochs_ended) == (1, 0)


async def test_what_only_a_gateway_remembers_ends_the_epoch_and_its_readers_start_over() -> None:
    store = ForgetfulJournal("store")
    async with cluster(journal=store) as play, person("Ada", [play.gateways["gateway-1"].url]) as ada:
        first = await ada.say("kept", "a1")
        keep = store.changes
        lost = await ada.say("forgotten", "a2")
        assert isinstance(first, Ack)
        assert isinstance(lost, Ack)
        await ada.wait_for_text("forgotten")
        await play.shards["shard-1"].kill()
        store.fail_over(keep)
        await play.start_shard("shard-1")
        await ada.wait_for_kind(Reset)
        again = await ada.say("a new beginning", "a3")
        await ada.wait_for_text("a new beginning")
        assert isinstance(again, Ack)
        assert again.epoch != lost.epoch
        began = next(update for update in ada.updates if isinstance(update, Event) and update.kind == "epoch")
        assert (began.id, began.target, began.text) == (first.epoch, 1, FORGOTTEN)
        log = log_of(store, ROOM, epochs_of([ada]))
        assert [kept.id for kept in log if kept.epoch == first.epoch] == ["a1"], "no offset of the old log is used again"
        assert violations([ada.witness], log, {(lost.epoch, lost.offset)}) == []
        assert violations([ada.witness], log), "the judge does not take it for nothing"
