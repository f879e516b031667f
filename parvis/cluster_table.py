"""A cluster as tables for a terminal, and as plain data for scripts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from parvis.counted import counted
from shard_router.cluster_outlook import ClusterOutlook
from wire.names import ShardId

_COLOURS: Final = {
    "serving": "green", "claiming": "yellow", "leaving": "yellow", "drained": "dim", "idle": "dim", "missing": "bold red",
}  # fmt: skip


def as_data(outlook: ClusterOutlook) -> dict[str, Any]:
    """For JSON: names as in `ClusterOutlook`, which stay as they are between releases."""
    return asdict(outlook)


def as_tables(outlook: ClusterOutlook) -> Iterator[Table | Text]:
    """What `parvis cluster status` shows, from top to bottom."""
    steward = outlook.steward or "none"
    moving = f"{counted(outlook.slots_unserved, 'slot')} on the way" if outlook.slots_unserved else "all slots served"
    yield Text(f"cluster {outlook.name}: slot map {outlook.map_version}, steward {steward}, {moving}")
    yield _shards(outlook)
    if outlook.gateways:
        yield _gateways(outlook)
    yield from _by_hand("pinned", outlook.pins)
    yield from _by_hand("moved until the next rebalance", outlook.moves)


def _shards(outlook: ClusterOutlook) -> Table:
    """Fits 80 columns; where a shard does not have what it should, it says ``1002 of 1035``."""
    table = _table("shard", "state", "weight#", "slots#", "map#", "rooms#", "address", "program")
    for each in outlook.shards:
        slots = str(each.slots_owned) if each.slots_owned == each.slots_aimed else f"{each.slots_owned} of {each.slots_aimed}"
        table.add_row(
            each.id, Text(each.state, _COLOURS[each.state]), str(each.weight), slots, str(each.map_version), str(each.rooms),
            each.address, each.program,
        )  # fmt: skip
    return table


def _gateways(outlook: ClusterOutlook) -> Table:
    table = _table("gateway", "state", "connections#", "accepts/s#", "map#", "address", "program")
    for each in outlook.gateways:
        table.add_row(
            each.id, Text(each.state, _COLOURS[each.state]), str(each.connections), f"{each.accepts_per_s:g}",
            str(each.map_version), each.address, each.program,
        )  # fmt: skip
    return table


def _table(*columns: str) -> Table:
    """A column that ends with # holds numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left", no_wrap=True)
    return table


def _by_hand(what: str, slots: dict[int, ShardId]) -> Iterator[Text]:
    """One line for each shard; many slots are counted, few are named."""
    for shard, count in sorted(Counter(slots.values()).items()):
        named = ", ".join(str(slot) for slot in sorted(slots) if slots[slot] == shard) if count <= 12 else f"{count} slots"
        yield Text(f"{what} to {shard}: {named}")
