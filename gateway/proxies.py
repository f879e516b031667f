"""Who the client behind our proxies is.  Pure.

A connection's way is told from far to near: the hops of ``X-Forwarded-For``, the source in a
PROXY header, the other end of the TCP connection.  Each is believed only because the next
nearer one is a proxy that we trust.  So the client is the nearest hop that is no such proxy,
and what stands beyond it is what the client itself wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.addresses import Address, Networks, parse_endpoint
from runtime.schema import AdmissionSettings
from wire.limits import FORWARDED_HOPS_MAX


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies we trust, and the ways in which they name their clients."""

    trusted: Networks
    proxy_protocol: bool
    forwarded_for: bool

    @classmethod
    def of(cls, settings: AdmissionSettings) -> "Proxies":
        return cls(Networks(settings.trusted_proxies), settings.proxy_protocol, settings.forwarded_for)

    def speaks_first(self, peer: Address | None) -> bool:
        """Whether a connection from `peer` must begin with a PROXY header."""
        return self.proxy_protocol and peer in self.trusted

    def forwards(self, hop: Address | None) -> bool:
        """Whether the request's ``X-Forwarded-For`` decides who a connection from `hop` is."""
        return self.forwarded_for and hop in self.trusted

    def client_behind(self, hop: Address | None, forwarded_for: Sequence[bytes]) -> Address | None:
        """The client, when `hop` is what we know so far and the request carries these header lines.

        A hop that is no address ends the way: the client is then who reported it.
        """
        if not self.forwards(hop):
            return hop
        hops = b",".join(forwarded_for).decode("latin-1").rsplit(",", FORWARDED_HOPS_MAX)
        for text in hops[: -FORWARDED_HOPS_MAX - 1 : -1]:
            further = parse_endpoint(text.strip(" \t"))
            if further is None:
                break
            hop = further
            if hop not in self.trusted:
                break
        return hop
