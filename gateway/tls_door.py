"""TLS at a gateway's own port, for installations without a proxy: who comes in by it, and with which certificate.

A handshake costs a signature, half a millisecond to two, in the thread that also serves everybody else: one at a
time goes through the turnstile, with everyone else's turn between two of them, so a flash crowd waits at the door and
readers inside do not.  It counts as a handshake under way (gateway/admission.py) and shares the deadline of the
upgrade: who stalls in it holds a place for that long and no longer.

A certificate that changes on disk is taken up by who comes next; who is connected keeps what it has.  The files are
looked at every TLS_LOOK_INTERVAL_S, and at once on SIGHUP.  A pair that cannot be used is told once, and the old one stays.
"""

import ssl
from collections.abc import Callable
from typing import Final

import trio
from structlog.typing import FilteringBoundLogger

from gateway.handshake import plain_answer
from runtime.certificates import CertificateError, PairFiles, Stamp, load_pair
from runtime.lifecycle import Lifecycle
from runtime.metrics import GatewayCounters
from runtime.tls_stream import HandshakeStep, HandshakeTooLarge
from runtime.tls_transport import TlsListener, TlsTransport
from runtime.transport import Listener, Transport
from wire.limits import TLS_LOOK_INTERVAL_S

_PLAIN_HTTP: Final = "plain_http"
_PLAIN_HTTP_ANSWER: Final = plain_answer(400, "Bad Request", "This port speaks TLS: connect with wss:// in place of ws://.")

# OpenSSL's words for what an operator tells apart; all else counts as other.
_REASONS: Final = {
    "HTTP_REQUEST": _PLAIN_HTTP,
    "HTTPS_PROXY_REQUEST": _PLAIN_HTTP,
    "WRONG_VERSION_NUMBER": "not_tls",
    "UNEXPECTED_MESSAGE": "not_tls",
    "RECORD_LENGTH_MISMATCH": "not_tls",
    "PACKET_LENGTH_TOO_LONG": "not_tls",
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "TLSV1_ALERT_PROTOCOL_VERSION": "version",
    "NO_SHARED_CIPHER": "cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "cipher",
    "NO_SUITABLE_KEY_SHARE": "cipher",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "cipher",
    # What a client says that does not believe our certificate.
    "TLSV1_ALERT_UNKNOWN_CA": "certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "certificate",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "certificate",
}
_OTHER: Final = "other"


class TlsRefused(Exception):
    """There is no TLS with this caller; `reason` is its name in metrics.  Close the transport."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no TLS: {reason}")
        self.reason = reason


class TlsDoor:
    """One gateway's certificate, and the handshakes with it."""

    def __init__(
        self,
        files: PairFiles,
        *,
        counters: GatewayCounters,
        log: FilteringBoundLogger,
        wall_clock: Callable[[], float],
    ) -> None:
        """Raises `CertificateError` for a pair that cannot be used: a gateway does not start without."""
        self._files = files
        self._counters = counters
        self._log = log
        self._wall_clock = wall_clock
        self._turnstile = trio.Lock()
        self._seen: Stamp = files.stamp()
        """The state of the files that was looked into last, good or bad."""
        self._changing: Stamp | None = None
        """Another state, found by the last look: taken if the next one finds it, too."""
        self._doubt_told = ""
        self._pair = load_pair(files)
        counters.tls_certificate_expiry = lambda: self._pair.valid_until - wall_clock()
        self._tell("tls_certificate")

    def guard(self, listener: Listener) -> Listener:
        """The same listener, whose connections speak TLS."""
        return TlsListener(listener, lambda: self._pair.context)

    # --- one handshake -------------------------------------------------------------------------------

    async def shake_hands(self, transport: Transport, until: float) -> None:
        """Open the TLS of a connection of ours; raises `TlsRefused`, counted and told to the peer where it can be."""
        assert isinstance(transport, TlsTransport), "a guarded listener's connections speak TLS"
        reason = "deadline"
        with trio.move_on_at(until):
            try:
                await self._step_to_the_end(transport)
                return
            except ssl.SSLError as error:
                reason = _REASONS.get(error.reason or "", _OTHER)
                transport.refuse(_PLAIN_HTTP_ANSWER if reason == _PLAIN_HTTP else b"")
            except HandshakeTooLarge:
                reason = "too_large"
            except (OSError, trio.ClosedResourceError):
                reason = "peer_gone"
        self._counters.tls_failures[reason] += 1
        raise TlsRefused(reason)

    async def _step_to_the_end(self, transport: TlsTransport) -> None:
        step = HandshakeStep.WANTS_BYTES
        while step is not HandshakeStep.OVER:
            if step is HandshakeStep.WANTS_BYTES:
                await transport.wait_readable()
            else:
                await transport.wait_writable()
            # Handed on at the next round of the event loop: never two signatures in one.
            async with self._turnstile:
                step = transport.step_handshake()

    # --- the certificate --------------------------------------------------------------------------------

    async def keep_current(self, lifecycle: Lifecycle) -> None:
        """Take up what changes on disk; until cancelled."""
        asked = lifecycle.reloads_asked
        while True:
            seen = asked
            with trio.move_on_after(TLS_LOOK_INTERVAL_S):
                asked = await lifecycle.wait_reload(seen)
            self.look(is_asked=asked != seen)

    def look(self, *, is_asked: bool) -> None:
        """Load the pair if somebody asks for it, or if the files changed and are at rest again.

        A stat of two local files, and a millisecond where they changed: nothing to leave the event loop for.
        """
        found = self._files.stamp()
        if is_asked or (found != self._seen and found == self._changing):
            self._seen, self._changing = found, None
            self._load()
        else:
            self._changing = found if found != self._seen else None
        self._tell_doubt()

    def _load(self) -> None:
        try:
            self._pair = load_pair(self._files)
        except CertificateError as error:
            self._counters.tls_reloads["refused"] += 1
            self._log.error("tls_certificate_refused", reason=str(error), still_valid_days=self._days_left())
            return
        self._counters.tls_reloads["loaded"] += 1
        self._doubt_told = ""
        self._tell("tls_certificate_changed")

    def _tell(self, event: str) -> None:
        self._log.info(event, names=" ".join(self._pair.names), valid_days=self._days_left())
        self._tell_doubt()

    def _tell_doubt(self) -> None:
        """A certificate that no client believes is served all the same: one log line when that begins."""
        doubt = self._pair.doubt(self._wall_clock()) or ""
        if doubt and doubt != self._doubt_told:
            self._log.warning("tls_certificate_not_valid", reason=f"the certificate in {self._files.certificate} is {doubt}")
        self._doubt_told = doubt

    def _days_left(self) -> float:
        return round((self._pair.valid_until - self._wall_clock()) / 86_400, 1)
