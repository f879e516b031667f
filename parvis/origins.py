"""Which pages may open our websockets: the addresses under which the page itself can be reached.  Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

_LOOPBACK: Final = ("127.0.0.1", "localhost")
_WILDCARDS: Final = {"0.0.0.0", "::", ""}


def page_origins(host: str, port: int, own_addresses: Iterable[str]) -> list[str]:
    """Origins of a page on `host`; `own_addresses` are this machine's, asked for when `host` means all of them."""
    if host in _WILDCARDS:
        hosts: Sequence[str] = (*_LOOPBACK, *own_addresses)
    elif host in (*_LOOPBACK, "::1"):
        hosts = (*_LOOPBACK, "::1")
    else:
        hosts = (host.lower(),)
    return [origin_of(each, port) for each in dict.fromkeys(hosts)]


def origin_of(host: str, port: int) -> str:
    """What a browser puts into Origin; it leaves out the port that is http's own."""
    bracketed = f"[{host}]" if ":" in host else host
    return f"http://{bracketed}" if port == 80 else f"http://{bracketed}:{port}"
