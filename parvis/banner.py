"""What a person reads when `parvis up` has started: where to go next.  Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_WEBSOCKET_URL = "ws://127.0.0.1:8001/"


@dataclass(frozen=True, slots=True)
class Started:
    """What is running, and where."""

    version: str
    page_url: str
    websocket_urls: Sequence[str]
    shards: int
    data_dir: str
    admin_url: str
    command: str
    """How this person calls parvis: ``parvis``, or a path to it."""
    store: str = ""
    """Where a cluster keeps what is said; "" where that is the data directory itself."""
    redis_url: str = ""
    """Of a cluster's Redis, for the commands that look at it."""


def banner(started: Started) -> str:
    """A few lines; each address can be clicked in a terminal."""
    chat = f"{started.command} chat square/main"
    if DEFAULT_WEBSOCKET_URL not in started.websocket_urls:
        chat += f" --url {started.websocket_urls[0]}"
    gateways = len(started.websocket_urls)
    several = f"{_count(gateways, 'gateway')}, {_count(started.shards, 'shard')}"
    size = "one process" if gateways == started.shards == 1 else several
    store = [f"  Journal     {started.store}"] if started.store else []
    if started.redis_url:
        store.append(f"  Cluster     {started.command} cluster status --redis {started.redis_url}")
    return "\n".join((
        "",
        f"  parvis {started.version} is up ({size})",
        "",
        f"  Open        {started.page_url}",
        f"  or type     {chat}",
        f"  Websocket   {', '.join(started.websocket_urls)}",
        f"  Data        {started.data_dir}",
        *store,
        f"  Metrics     {started.admin_url}metrics",
        "",
        "  Ctrl-C ends it; what was said is kept.",
        "",
    ))  # fmt: skip


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
