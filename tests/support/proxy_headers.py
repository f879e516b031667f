"""Headers of the PROXY protocol's version 2, right ones and wrong ones."""

from ipaddress import IPv6Address
from typing import Final

SIGNATURE: Final = bytes.fromhex("0d0a0d0a000d0a515549540a")

INET: Final = bytes([192, 0, 2, 7]) + bytes([10, 0, 0, 1]) + bytes([0x9C, 0x40, 0x1F, 0x41])
"""From 192.0.2.7, port 40000, to 10.0.0.1, port 8001."""
INET6: Final = IPv6Address("2001:db8::7").packed + IPv6Address("2001:db8::1").packed + bytes([0x9C, 0x40, 0x1F, 0x41])


def proxy_header(version_command: int = 0x21, family: int = 0x11, rest: bytes = b"", length: int | None = None) -> bytes:
    """One header; `length` is what it says of the size of its `rest`, true unless it is given."""
    said = len(rest) if length is None else length
    return SIGNATURE + bytes((version_command, family)) + said.to_bytes(2, "big") + rest
