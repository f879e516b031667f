"""What is asked of the world before a load test begins, so that whatever would spoil it is known in a second."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from loadtest.connections.dialing import find_targets, missing_source_ip, shortage, split_address
from loadtest.connections.reach import why_unreachable
from loadtest.master.orders import Orders
from loadtest.master.probes import ListedProcesses, LocalProcesses, Scrape, Source
from loadtest.master.server_faults import why_impossible
from loadtest.verdicts.verdict import Exit
from loadtest.web.web_access import is_loopback
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.reading import SECRET_VARIABLE, NoRun, Understood, said
from runtime.sockets import SocketNetwork
from runtime.transport import Listener

_EXAMPLE: Final = "--master-bind-host 127.0.0.1"


async def check_world(understood: Understood, rng: Random) -> None:
    """Raises `NoRun`.  With `--master` nothing here says how other machines are: their workers ask for themselves."""
    _refuse(why_impossible(understood.faults, understood.target_data_dir))
    workers = understood.local_workers
    if not workers:
        return
    orders, users = understood.orders, understood.shape.users
    _refuse(missing_source_ip(orders.source_ips))
    _refuse(shortage(-(-users // workers), users, len(orders.hosts), len(orders.source_ips)))
    await check_hosts(orders.hosts, rng)


async def check_hosts(hosts: tuple[str, ...] | list[str], rng: Random) -> None:
    """Whether everybody who is to be loaded is there.  Raises `NoRun`, with `Exit.UNREACHABLE`."""
    try:
        await find_targets(hosts)
    except ValueError as error:
        raise NoRun(str(error), Exit.UNREACHABLE) from error
    _refuse(await why_unreachable(hosts, rng), Exit.UNREACHABLE)


async def open_door(flags: LoadtestFlags, understood: Understood) -> Listener:
    """Where workers come in: a free port of loopback for our own, the one that was named for others.  Raises `NoRun`."""
    if understood.local_workers:
        return await _listen("127.0.0.1", 0, "")
    host, port = flags.master_bind_host, flags.master_bind_port
    if not is_loopback(host) and not understood.secret:
        raise NoRun(
            f"a master on {host} can be reached by others: give it and its workers one secret, in {SECRET_VARIABLE} or "
            f"--secret-file, or leave it on this machine ({_EXAMPLE})"
        )
    return await _listen(host, port, ": name another with --master-bind-port")


async def _listen(host: str, port: int, advice: str) -> Listener:
    try:
        return await SocketNetwork().listen(host, port)
    except OSError as error:
        raise NoRun(f"{error.strerror or error}{advice}") from error


def sources_of(flags: LoadtestFlags, orders: Orders) -> list[Source]:
    """Where the server's CPU and memory are looked up.  Raises `NoRun` for an address that is none."""
    if flags.observe:
        return [said(_scrape_of(url)) for url in flags.observe]
    if flags.target_data_dir is not None:
        return [ListedProcesses(Path(flags.target_data_dir))]
    addresses = [split_address(url) for url in orders.hosts]
    ports = [port for _, host, port in addresses if is_loopback(host)]
    return [LocalProcesses(ports)] if ports else []


def _scrape_of(url: str) -> Callable[[], Source]:
    return lambda: Scrape(url, SocketNetwork())


def _refuse(sentence: str | None, code: Exit = Exit.USAGE) -> None:
    if sentence is not None:
        raise NoRun(sentence, code)


