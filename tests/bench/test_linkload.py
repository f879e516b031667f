"""Commands over links are counted by what the shard answers, each once."""

from pathlib import Path

from bench.linkload import Order, publish
from tests.support.cluster import SECRETS, cluster


async def test_what_is_published_over_links_is_in_the_log(tmp_path: Path) -> None:
    rooms = ["links/a", "links/b", "links/c"]
    async with cluster(shards=1, gateways=0) as it:
        shard = it.shards["shard-1"]
        order = Order(
            host="127.0.0.1", port=shard.port, secret_file="", rooms=rooms, links=2, window=64, warm_s=0.1, seconds=0.3,
            payload_bytes=100, run="t",
        )  # fmt: skip
        report = await publish(order, SECRETS)
        heads = [await _head(it, room) for room in rooms]
    assert report.committed > 100
    assert (report.refused, report.unknown) == (0, 0)
    assert 0 < report.p50_ms <= report.p99_ms
    assert sum(heads) >= report.committed
    assert max(heads) - min(heads) <= 64, "the rooms take turns"


async def _head(it: object, room: str) -> int:
    loaded = it.journal.load(room, 1, 1 << 20, 0, 1)  # type: ignore[attr-defined]
    return int(loaded.head.offset)
