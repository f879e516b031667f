"""`parvis cluster`: what a cluster looks like, and the words that change it."""

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console

from parvis.cluster_progress import show_progress
from parvis.cluster_session import ClusterSession, cluster_session
from parvis.cluster_table import as_data, as_tables
from parvis.errors import StartError
from parvis.options import Config, Sets, read_settings
from runtime.lifecycle import ExitCode, Lifecycle, run_process
from runtime.schema import Settings
from runtime.settings import DEFAULT_ORIGIN
from shard_router import plan_edits
from shard_router.cluster_outlook import outlook_of
from shard_router.cluster_records import ClusterPlan
from shard_router.placement import WEIGHT_MAX
from shard_router.plan_edits import Outlook, parse_slots
from shard_router.slots import slot_of
from wire.limits import SLOT_COUNT
from wire.names import ShardId, Slot, parse_room

cluster = App(name="cluster", help_format="markdown", help_epilogue="")

Wait = Annotated[bool, Parameter(name="--wait", negative="--no-wait", help="Stay and show how slots move, until all are served.")]
Redis = Annotated[
    str | None, Parameter(name="--redis", help="The cluster's Redis, as in redis://127.0.0.1:6379/0; redis.url says it as well.")
]
To = Annotated[str, Parameter(name="--to", help="The shard that is to own them.")]


@cluster.command(help_epilogue="", sort_key=0)
def status(
    *, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    redis: Redis = None, config: Config = None, sets: Sets = []  # noqa: B006
) -> ExitCode:
    """Show the shards with their slots, the gateways, pins, and what is on its way.

    Parameters
    ----------
    as_json
        As one JSON object, for scripts.
    """

    async def show(session: ClusterSession, _: Lifecycle) -> None:
        view = await session.observe()
        outlook = outlook_of(session.name, view, session.alive(view))
        if as_json:
            print(json.dumps(as_data(outlook), indent=2))
            return
        console = Console()
        # A pipe has no width: nothing is cut there.
        console.width = console.width if sys.stdout.isatty() else 500
        for each in as_tables(outlook):
            console.print(each)

    return _run(redis, config, sets, show)


@cluster.command(help_epilogue="", sort_key=1)
def add(
    shard: str, /, *, weight: Annotated[int | None, Parameter(validator=Number(gte=1, lte=WEIGHT_MAX))] = None,
    wait: Wait = True, redis: Redis = None, config: Config = None, sets: Sets = [],  # noqa: B006
) -> ExitCode:  # fmt: skip
    """Give a shard its share of the slots; it must have been started once.

    Parameters
    ----------
    shard
        Its broker.id.
    weight
        Its share, beside those of the others; 100 unless it had one before.
    """
    sentence = f"{shard} gets its share"
    return _edit(redis, config, sets, wait, lambda outlook: plan_edits.add(outlook, ShardId(shard), weight), sentence)


@cluster.command(help_epilogue="", sort_key=2)
def drain(shard: str, /, *, wait: Wait = True, redis: Redis = None, config: Config = None, sets: Sets = []) -> ExitCode:  # noqa: B006
    """Take all slots from a shard, until it is added again.

    Parameters
    ----------
    shard
        Its broker.id.
    """
    return _edit(redis, config, sets, wait, lambda outlook: plan_edits.drain(outlook, ShardId(shard)), f"{shard} is drained")


@cluster.command(help_epilogue="", sort_key=3)
def move(*slots: str, to: To, wait: Wait = True, redis: Redis = None, config: Config = None, sets: Sets = []) -> ExitCode:  # noqa: B006
    """Put slots onto a shard, until the next rebalance.

    Parameters
    ----------
    slots
        Numbers from 0 to 4095, or ranges as in 100-199.
    """
    found = _slots(slots)
    many = f"slot {found[0]} goes" if len(found) == 1 else f"{len(found)} slots go"
    return _edit(redis, config, sets, wait, lambda outlook: plan_edits.move(outlook, found, ShardId(to)), f"{many} to {to}")


@cluster.command(help_epilogue="", sort_key=4)
def pin(what: str, /, *, to: To, wait: Wait = True, redis: Redis = None, config: Config = None, sets: Sets = []) -> ExitCode:  # noqa: B006
    """Keep a slot, or the slot of a room, on a shard until it is unpinned.

    Parameters
    ----------
    what
        A slot, or a room: then the slot it lies in, with every other room there.
    """
    slot = _slot(what)
    sentence = f"slot {slot} is pinned to {to}"
    return _edit(redis, config, sets, wait, lambda outlook: plan_edits.pin(outlook, slot, ShardId(to)), sentence)


@cluster.command(help_epilogue="", sort_key=5)
def unpin(what: str, /, *, wait: Wait = True, redis: Redis = None, config: Config = None, sets: Sets = []) -> ExitCode:  # noqa: B006
    """Let a pinned slot lie where it would.

    Parameters
    ----------
    what
        A slot, or a room in it.
    """
    slot = _slot(what)
    return _edit(redis, config, sets, wait, lambda outlook: plan_edits.unpin(outlook, slot), f"slot {slot} is not pinned")


@cluster.command(help_epilogue="", sort_key=6)
def rebalance(*, wait: Wait = True, redis: Redis = None, config: Config = None, sets: Sets = []) -> ExitCode:  # noqa: B006
    """Forget what was moved by hand; pins stay."""
    return _edit(redis, config, sets, wait, plan_edits.rebalance, "no slot is moved by hand")


def _slots(words: Sequence[str]) -> list[Slot]:
    try:
        found = parse_slots(words)
    except ValueError as error:
        raise StartError(str(error), ExitCode.USAGE) from error
    if not found:
        raise StartError("no slot was named: a number from 0 to 4095, or a range as in 100-199", ExitCode.USAGE)
    return found


def _slot(what: str) -> Slot:
    """The slot that a number or a room means; says so for a room."""
    if what.isascii() and what.isdigit():
        return _slots([what])[0]
    room = parse_room(what)
    if room is None:
        raise StartError(f"{what!r} is neither a slot (0 to {SLOT_COUNT - 1}) nor a room (namespace/name)", ExitCode.USAGE)
    slot = slot_of(room)
    print(f"{room} lies in slot {slot}, and every other room of that slot goes along: one room in {SLOT_COUNT} on average")
    return slot


def _edit(
    redis: Redis, config: Config, sets: Sequence[str], wait: bool, change: Callable[[Outlook], ClusterPlan], sentence: str
) -> ExitCode:
    """Change the plan, say so, and show what follows from it."""

    async def do(session: ClusterSession, lifecycle: Lifecycle) -> None:
        edited = await session.edit(change)
        print(f"{sentence}{'' if edited.has_changed else ' already'} (plan {edited.plan.version})")
        if wait:
            await show_progress(session, lifecycle)

    return _run(redis, config, sets, do)


def _run(
    redis: Redis, config: Config, sets: Sequence[str], do: Callable[[ClusterSession, Lifecycle], Awaitable[None]]
) -> ExitCode:
    loaded = read_settings(config, sets, flags=None if redis is None else {"redis.url": redis})
    settings = loaded.settings
    if loaded.origin_of("cluster.directory") == DEFAULT_ORIGIN and settings.redis.url:
        # Where a Redis is named and nothing is said of the directory, its directory is what is meant.
        settings = msgspec.structs.replace(settings, cluster=msgspec.structs.replace(settings.cluster, directory="redis"))
    return run_process(partial(_in_session, settings=settings, do=do))


async def _in_session(
    lifecycle: Lifecycle, *, settings: Settings, do: Callable[[ClusterSession, Lifecycle], Awaitable[None]]
) -> None:
    async with cluster_session(settings) as session:
        await do(session, lifecycle)
