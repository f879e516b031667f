"""The way in: from an accepted connection to an open websocket of somebody we can count.

Questions in this order, each before the next costs anything: who is it (a proxy's header,
where one must come, before any TLS), may that address have one more connection, does it speak
TLS where it must, is it a good request.  Where the request itself names the client
(``X-Forwarded-For``), the second is asked once it is read.
"""

from collections.abc import Sequence
from functools import partial

import trio

from gateway.crowd import Caller, Crowd
from gateway.handshake import UpgradeRefusal
from gateway.proxies import Proxies
from gateway.proxy_header import FIXED_BYTES, BadProxyHeader, parse_source, parse_start
from gateway.streams import read_exactly
from gateway.tls_door import TlsDoor
from gateway.upgrade import Upgraded, UpgradeRefused, UpgradeRules, refuse, upgrade
from runtime.addresses import Address, parse_endpoint
from runtime.tls_transport import TlsTransport
from runtime.transport import Transport


class Entrance:
    """One gateway's; holds nothing of those who pass."""

    def __init__(self, rules: UpgradeRules, proxies: Proxies, crowd: Crowd, tls: TlsDoor | None = None) -> None:
        self._rules = rules
        self._proxies = proxies
        self._crowd = crowd
        self._tls = tls

    async def enter(self, transport: Transport, caller: Caller) -> Upgraded:
        """Let one in within `rules.deadline_s`, and count it by its address.

        Raises `UpgradeRefused` after the refusal was sent, `TlsRefused`, `PeerGone`.  In all cases the caller of
        this says `Crowd.left` when the connection is over.
        """
        until = trio.current_time() + self._rules.deadline_s
        hop = parse_endpoint(transport.peer)
        if self._proxies.speaks_first(hop):
            raw = transport.below if isinstance(transport, TlsTransport) else transport
            hop = await self._named_by_proxy(raw, until) or hop
        is_named_later = self._proxies.forwards(hop)
        refusal = None if is_named_later else self._admit(caller, hop)
        if refusal is not None:
            # Its request is left unread, as one that is shed: an address that is too many is not read from first.
            # Nor is it told over TLS, whose handshake costs more than all the rest.
            if self._tls is None:
                await refuse(transport, refusal, self._rules.subprotocols)
            raise UpgradeRefused(refusal)
        if self._tls is not None:
            await self._tls.shake_hands(transport, until)
        if is_named_later:
            return await upgrade(transport, self._rules, partial(self._admit_forwarded, caller, hop), until=until)
        return await upgrade(transport, self._rules, until=until)

    async def _named_by_proxy(self, transport: Transport, until: float) -> Address | None:
        """The source in the PROXY header that must come now; None when the proxy speaks for itself."""
        refusal = UpgradeRefusal.DEADLINE
        with trio.move_on_at(until):
            try:
                start = parse_start(await read_exactly(transport, FIXED_BYTES))
                return parse_source(start, await read_exactly(transport, start.rest_bytes))
            except BadProxyHeader:
                refusal = UpgradeRefusal.PROXY_HEADER
        await refuse(transport, refusal, self._rules.subprotocols)
        raise UpgradeRefused(refusal)

    def _admit_forwarded(self, caller: Caller, hop: Address | None, forwarded_for: Sequence[bytes]) -> UpgradeRefusal | None:
        return self._admit(caller, self._proxies.client_behind(hop, forwarded_for))

    def _admit(self, caller: Caller, address: Address | None) -> UpgradeRefusal | None:
        denied = self._crowd.arrive(caller, address, trio.current_time())
        return None if denied is None else UpgradeRefusal.ADDRESS
