"""A worker's work, put together and done against a gateway."""

from pathlib import Path

import pytest
import trio

from loadtest.figures.messages import Finish, Goal, Hit, Hush, Prepare, Welcome
from loadtest.people.scenario import load_scenario
from loadtest.workers.assembly import make_work
from loadtest.workers.worker import WorkRefused
from tests.support.honest_gateway import HonestGateway
from tests.support.loadtest_run import DEADLINE_S, clock_us
from tests.support.tiny_scenario import tiny_scenario

WELCOME = Welcome(0, 0, 0)


def _prepare(*hosts: str, **more: object) -> Prepare:
    fields = {"source_ips": [], "tags": [], "exclude_tags": [], "connects_per_s_max": 1000.0, "options": {}, **more}
    return Prepare("run1", 1, list(hosts), **fields)  # type: ignore[arg-type]


async def test_readers_and_users_come_read_and_leave(tmp_path: Path, nursery: trio.Nursery) -> None:
    gateway = HonestGateway(nursery)
    work = await make_work(load_scenario(tiny_scenario(tmp_path)), _prepare(await gateway.listen()), WELCOME, clock_us)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as run_nursery:
            run_nursery.start_soon(work.run)
            work.begin(clock_us())
            work.goal(Goal({"Listener": 6, "Speaker": 1}, 100.0, {}))
            counts: dict[str, int] = {}
            while counts.get("connects", 0) < 7 or not counts.get("acked") or not counts.get("deliveries"):
                beat = work.beat()
                for name, count in beat.counts.items():
                    counts[name] = counts.get(name, 0) + count
                await trio.sleep(0.01)
            assert beat.users == {"Listener": 6, "Speaker": 1}
            assert beat.connected == 7
            # Of a kind of misbehaviour nobody waits for here: that it reaches the readers is `loadtest/readers/faults.py`'s.
            work.hit(Hit("half-open", 0, 0.0))
            work.goal(Goal({"Listener": 4, "Speaker": 1}, 100.0, {}))
            while work.beat().users.get("Listener") != 4:
                await trio.sleep(0.01)
            await work.hush(Hush(1.0))
            head = gateway.room("square/main").events[-1].offset
            await work.finish(Finish({"square/main": (gateway.room("square/main").epoch, head)}, 5.0))
        assert work.beat().users == {}
    assert not work.beat().findings


@pytest.mark.parametrize(
    ("wrong", "sentence", "code"),
    [
        ({"source_ips": ["192.0.2.7"]}, "this machine has no address 192.0.2.7", 2),
        ({"tags": ["loud"]}, "has no tag 'loud'", 2),
        ({"options": {"speakers": "3"}}, "has no option 'speakers'", 2),
    ],
)
async def test_orders_that_cannot_be_carried_out_are_one_sentence(
    tmp_path: Path, wrong: dict[str, object], sentence: str, code: int
) -> None:
    with pytest.raises(WorkRefused, match=sentence) as no:
        await make_work(load_scenario(tiny_scenario(tmp_path)), _prepare("ws://127.0.0.1:1", **wrong), WELCOME, clock_us)
    assert no.value.code == code


async def test_a_host_that_is_none_makes_the_target_unreachable(tmp_path: Path) -> None:
    with pytest.raises(WorkRefused, match="there is no host named") as no:
        await make_work(load_scenario(tiny_scenario(tmp_path)), _prepare("ws://no host"), WELCOME, clock_us)
    assert no.value.code == 4
