"""parvis/cluster_table.py: everything of the outlook is on the screen, and in the JSON."""

import io
import json

from rich.console import Console

from parvis.cluster_table import as_data, as_tables
from shard_router.cluster_outlook import ClusterOutlook, GatewayLine, ShardLine
from wire.names import ShardId

A, B = ShardId("shard-a"), ShardId("shard-b")
OUTLOOK = ClusterOutlook(
    "town", 12, "shard-a",
    (
        ShardLine("shard-a", "serving", 100, 4000, 4001, 11, 77, 3, "10.0.0.1:8101", "0.1.0"),
        ShardLine("shard-b", "missing", 50, 0, 95, 0, 0, 0, "", ""),
    ),
    (GatewayLine("gateway-1", "leaving", 4321, 1000.0, 12, "10.0.0.9:8001", "0.1.0"),),
    {7: A, 2077: A}, dict.fromkeys(range(100, 200), B), 96,
)  # fmt: skip


def shown(outlook: ClusterOutlook) -> str:
    console = Console(file=io.StringIO(), width=200)
    for each in as_tables(outlook):
        console.print(each)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_screen_says_it_all() -> None:
    text = shown(OUTLOOK)
    for word in (
        "cluster town: slot map 12, steward shard-a, 96 slots on the way", "serving", "missing", "4000 of 4001",
        "10.0.0.1:8101", "gateway-1", "leaving", "4321", "1000", "pinned to shard-a: 7, 2077",
        "moved until the next rebalance to shard-b: 100 slots",
    ):  # fmt: skip
        assert word in text


def test_a_cluster_without_gateways_or_steward() -> None:
    text = shown(ClusterOutlook("town", 0, "", (), (), {}, {}, 0))
    assert "steward none, all slots served" in text
    assert "gateway" not in text


def test_the_data_is_plain_json() -> None:
    data = json.loads(json.dumps(as_data(OUTLOOK)))
    assert data["shards"][0]["slots_owned"] == 4000
    assert data["gateways"][0]["connections"] == 4321
    assert data["pins"] == {"7": "shard-a", "2077": "shard-a"}
    assert data["slots_unserved"] == 96
