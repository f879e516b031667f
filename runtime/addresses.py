"""Internet addresses of people: read, found in lists of networks, told apart by prefix.  Pure.

Who has IPv6 has a whole /64 and may use a new address of it each second, so that is what one
is counted by; of IPv4 it is the address.  An IPv4 address in the clothes of IPv6
(``::ffff:192.0.2.1``, as a socket that listens on both gives it) is the IPv4 address: else
half of the world would be one prefix.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NewType

from wire.limits import ADDRESS_CHARS_MAX

Address = IPv4Address | IPv6Address

AddressPrefix = NewType("AddressPrefix", bytes)
"""What connections are counted by: 4 bytes of an IPv4 address, the first 8 of an IPv6 one."""

_PREFIX_BYTES = 8


def parse_address(text: str) -> Address | None:
    """An address without a port; None for anything else."""
    if len(text) > ADDRESS_CHARS_MAX:
        return None
    address: Address
    try:
        address = IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        return None
    return unmapped(address)


def parse_endpoint(text: str) -> Address | None:
    """The address of ``192.0.2.1:443``, ``[2001:db8::1]:443``, or of either without a port; None for anything else."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        return parse_address(host) if bracket and (not port or port.startswith(":")) else None
    if text.count(":") == 1:
        text = text.partition(":")[0]
    return parse_address(text)


def unmapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, else the same."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def prefix_of(address: Address) -> AddressPrefix:
    return AddressPrefix(address.packed[:_PREFIX_BYTES])


class Networks:
    """A short list of networks, such as ``10.0.0.0/8``, ``2001:db8::/32`` or a single ``192.0.2.1``."""

    __slots__ = ("_networks",)

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises `ValueError` with a sentence for a text that names no network."""
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(text) for text in texts]

    def __contains__(self, address: Address | None) -> bool:
        """Whether one of them has it; None, an unknown address, is in no network."""
        return address is not None and any(address in network for network in self._networks)
