"""The PROXY protocol, version 2: the binary head in which a proxy names the client it speaks for.  Pure.

After HAProxy's `proxy-protocol.txt`, section 2.2: 16 fixed bytes, the last two of which say
how many more follow (addresses, then fields that we skip).  Whether a head must come is
decided by who connects, never by what comes: a stream that may begin with one or not lets
anybody name himself.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from runtime.addresses import Address, unmapped
from wire.limits import PROXY_HEADER_BYTES_MAX

FIXED_BYTES = 16
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _INET, _INET6, _UNIX = range(4)
# Source, destination and two ports; two paths of 108 bytes for unix.
_ADDRESS_BYTES = {_UNSPECIFIED: 0, _INET: 12, _INET6: 36, _UNIX: 216}
_DATAGRAM = 2


class BadProxyHeader(Exception):
    """What came is not a PROXY head of version 2, or a broken one."""


@dataclass(frozen=True, slots=True)
class HeaderStart:
    """The fixed part, checked: `rest_bytes` more belong to the head."""

    family: int
    rest_bytes: int


def parse_start(data: bytes) -> HeaderStart:
    """The first FIXED_BYTES bytes of a connection; raises `BadProxyHeader`."""
    assert len(data) == FIXED_BYTES, "the reader brings all of the fixed part"
    if not data.startswith(_SIGNATURE):
        raise BadProxyHeader("no PROXY header of version 2")
    version, command = data[12] >> 4, data[12] & 0xF
    family, transport = data[13] >> 4, data[13] & 0xF
    rest_bytes = int.from_bytes(data[14:16], "big")
    if version != 2:
        raise BadProxyHeader(f"PROXY header of version {version}; only 2 is spoken here")
    if FIXED_BYTES + rest_bytes > PROXY_HEADER_BYTES_MAX:
        raise BadProxyHeader(f"PROXY header of {FIXED_BYTES + rest_bytes} bytes exceeds {PROXY_HEADER_BYTES_MAX}")
    if command == _LOCAL:
        # The proxy speaks for itself, as in a health check; whatever addresses follow mean nothing.
        return HeaderStart(_UNSPECIFIED, rest_bytes)
    if command != _PROXY:
        raise BadProxyHeader(f"PROXY command {command}; 0 and 1 are known")
    if family not in _ADDRESS_BYTES or transport >= _DATAGRAM:
        raise BadProxyHeader(f"PROXY address family {family} with transport {transport}; this is a TCP port")
    if rest_bytes < _ADDRESS_BYTES[family]:
        raise BadProxyHeader(f"PROXY addresses of {rest_bytes} bytes; family {family} has {_ADDRESS_BYTES[family]}")
    return HeaderStart(family, rest_bytes)


def parse_source(start: HeaderStart, rest: bytes) -> Address | None:
    """The client's address out of the `start.rest_bytes` bytes that followed; None when the head names none."""
    assert len(rest) == start.rest_bytes, "the reader brings all of the head"
    if start.family == _INET:
        return IPv4Address(rest[:4])
    if start.family == _INET6:
        return unmapped(IPv6Address(rest[:16]))
    return None
