"""What is asked of the world before a run."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import trio

from loadtest.master.probes import ListedProcesses, LocalProcesses, Scrape
from loadtest.verdicts.verdict import Exit
from parvis.loadtest.checks import check_hosts, check_world, open_door, sources_of
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.reading import SECRET_VARIABLE, NoRun, read_flags
from runtime.sockets import SocketNetwork
from tests.support.honest_gateway import HonestGateway
from tests.support.tiny_scenario import tiny_scenario


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadtestFlags:
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    return LoadtestFlags(scenario_file=tiny_scenario(tmp_path), headless=True)


async def test_a_target_that_welcomes_us_is_no_reason_against_a_run(flags: LoadtestFlags, nursery: trio.Nursery) -> None:
    host = await HonestGateway(nursery).listen()
    await check_world(read_flags(replace(flags, hosts=(host,), users=10), []), Random(1))


@pytest.mark.parametrize(
    ("wrong", "sentence", "code"),
    [
        ({"source_ips": ("192.0.2.7",)}, "this machine has no address 192.0.2.7", Exit.USAGE),
        ({"users": 30_000_000}, "30,000,000 clients in one process need", Exit.USAGE),
        ({"users": 90_000, "processes": 90}, "name 4 or more, as in --source-ips", Exit.USAGE),
        ({"faults": ("3s kill shard",)}, "needs --target-data-dir DIR", Exit.USAGE),
        ({"hosts": ("ws://127.0.0.1:1",)}, "ws://127.0.0.1:1 does not welcome us", Exit.UNREACHABLE),
        ({"hosts": ("ws://no.such.host.invalid",)}, "there is no host named no.such.host.invalid", Exit.UNREACHABLE),
    ],
)
async def test_what_would_spoil_a_run_is_one_sentence_with_its_code(
    flags: LoadtestFlags, wrong: dict[str, object], sentence: str, code: Exit
) -> None:
    with pytest.raises(NoRun) as no:
        await check_world(read_flags(replace(flags, **wrong), []), Random(1))  # type: ignore[arg-type]
    assert sentence in str(no.value)
    assert no.value.code is code


async def test_a_master_does_not_speak_for_other_machines(flags: LoadtestFlags) -> None:
    elsewhere = replace(flags, master=True, hosts=("ws://127.0.0.1:1",), users=30_000_000, source_ips=("192.0.2.7",))
    await check_world(read_flags(elsewhere, []), Random(1))
    with pytest.raises(NoRun, match="does not welcome us"):
        await check_hosts(["ws://127.0.0.1:1"], Random(1))


async def test_our_own_workers_come_in_by_a_free_port_of_loopback(flags: LoadtestFlags) -> None:
    doors = [await open_door(flags, read_flags(flags, [])) for _ in range(2)]
    assert doors[0].host == "127.0.0.1"
    assert doors[0].port != doors[1].port
    for door in doors:
        door.close()


async def test_a_port_that_is_taken_is_one_sentence(flags: LoadtestFlags) -> None:
    taken = await SocketNetwork().listen("127.0.0.1", 0)
    master = replace(flags, master=True, master_bind_port=taken.port)
    with pytest.raises(NoRun, match=rf"cannot listen on 127\.0\.0\.1:{taken.port}: .*name another with --master-bind-port"):
        await open_door(master, read_flags(master, []))
    taken.close()


async def test_only_who_has_a_secret_may_be_reached_by_others(flags: LoadtestFlags, monkeypatch: pytest.MonkeyPatch) -> None:
    master = replace(flags, master=True, master_bind_host="0.0.0.0", master_bind_port=0)
    with pytest.raises(NoRun, match="give it and its workers one secret, in PARVIS_LOADTEST_SECRET or --secret-file"):
        await open_door(master, read_flags(master, []))
    monkeypatch.setenv(SECRET_VARIABLE, "a long secret")
    door = await open_door(master, read_flags(master, []))
    assert door.port
    door.close()


def test_figures_are_looked_for_where_they_are_said_to_be(flags: LoadtestFlags) -> None:
    orders = read_flags(flags, []).orders
    [scrape] = sources_of(replace(flags, observe=("127.0.0.1:9001",)), orders)
    assert isinstance(scrape, Scrape)
    [local] = sources_of(flags, orders)
    assert isinstance(local, LocalProcesses)
    [listed] = sources_of(replace(flags, target_data_dir="data"), orders)
    assert isinstance(listed, ListedProcesses)
    away = read_flags(replace(flags, hosts=("wss://chat.example",)), []).orders
    assert sources_of(flags, away) == []
    with pytest.raises(NoRun, match="is no address of figures"):
        sources_of(replace(flags, observe=("https://x",)), orders)
