"""Certificates of an authority that lives as long as the tests, and a network on which everything speaks TLS."""

import base64
import hashlib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from runtime.certificates import PairFiles, load_pair
from runtime.sockets import SocketNetwork
from runtime.tls_stream import HandshakeStep
from runtime.tls_transport import TlsListener, TlsTransport
from runtime.transport import Listener, Transport


@cache
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def client_context(**changes: object) -> ssl.SSLContext:
    """Believes the authority, and nobody else; `changes` are attributes of the context."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    for name, value in changes.items():
        setattr(context, name, value)
    return context


def write_pair(directory: Path, *names: str, ca: trustme.CA | None = None, not_after: datetime | None = None) -> PairFiles:
    """A certificate for `names` (of this machine, where none are given) in two files, the key readable by its owner."""
    spoken_for = names or ("127.0.0.1", "localhost")
    leaf = (ca or authority()).issue_cert(*spoken_for, not_after=not_after, key_type=trustme.KeyType.ECDSA)
    files = PairFiles(directory / "server.pem", directory / "server.key")
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    files.key.touch(mode=0o600)
    files.key.write_bytes(leaf.private_key_pem.bytes())
    return files


def write_authority(directory: Path) -> Path:
    """The authority's own certificate, for SSL_CERT_FILE."""
    path = directory / "ca.pem"
    authority().cert_pem.write_to_path(path)
    return path


@dataclass
class Ends:
    """The two ends of one TLS connection."""

    client: TlsTransport
    server: TlsTransport

    def shake_hands(self) -> None:
        """Both ends in turn; what they write fits into the kernel's buffers, so neither waits."""
        steps = [HandshakeStep.WANTS_BYTES] * 2
        while steps != [HandshakeStep.OVER] * 2:
            steps = [self.client.step_handshake(), self.server.step_handshake()]
        # The server's session ticket comes behind its handshake: nothing that somebody would read.
        with suppress(BlockingIOError):
            assert self.client.try_recv(1) == b"", "nobody has said anything yet"


class TlsNetwork:
    """TCP with TLS on it; a connection's handshake is done when `accepted` gives the other end."""

    def __init__(self, files: PairFiles) -> None:
        self._below = SocketNetwork()
        self._server = load_pair(files).context
        self._client = client_context()

    async def listen(self, host: str, port: int, *, send_buffer_bytes: int = 0) -> Listener:
        below = await self._below.listen(host, port, send_buffer_bytes=send_buffer_bytes)
        return TlsListener(below, lambda: self._server)

    async def connect(self, host: str, port: int) -> Transport:
        return TlsTransport(await self._below.connect(host, port), self._client, server_name=host)

    def pair(self) -> tuple[Transport, Transport]:
        near, far = self._below.pair()
        ends = Ends(TlsTransport(near, self._client, server_name="localhost"), TlsTransport(far, self._server))
        ends.shake_hands()
        return ends.client, ends.server


def spki_of(files: PairFiles) -> str:
    """The certificate's public key as Chromium's flag wants it: SHA-256 in base64."""
    key = x509.load_pem_x509_certificates(files.certificate.read_bytes())[0].public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()
