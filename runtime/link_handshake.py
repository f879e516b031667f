"""Who is at the other end of a link: a mutual HMAC-SHA256 challenge before anything else is said.

    server  LinkChallenge   its versions, a nonce
    client  LinkHello       the version chosen, role, node, its own nonce, proof
    server  LinkWelcome     its node, its proof, the slot map it follows

The secret is never sent.  A proof covers the direction, the version, both nonces and all
names that its sender claims, each part preceded by its length: so it can neither be
reflected, nor replayed, nor spliced, nor talked down to an older version.  Whoever fails is
told why (`LinkRefused`) and the transport is closed.
"""

import hmac
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import NoReturn, TypeVar

import trio

from runtime.closing import closed_on_error
from runtime.link_frames import HEADER_BYTES, frame_length, pack_length
from runtime.streams import recv_exactly, send_all
from runtime.transport import Transport
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.limits import LINK_HELLO_DEADLINE_S
from wire.node_messages import (
    LINK_VERSION,
    LINK_VERSION_MIN,
    LinkChallenge,
    LinkHello,
    LinkRefused,
    LinkWelcome,
    NodeMessage,
    decode_node_message,
    encode_node_message,
)

NONCE_BYTES = 32
# Before the proof a peer is a stranger: the longest honest message is a hello with two names
# of 64 characters, a nonce and a proof, 210 bytes.
HANDSHAKE_MESSAGE_BYTES_MAX = 1024
SERVER_ROLE = "shard"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")

M = TypeVar("M", bound=NodeMessage)


class LinkRefusedError(Exception):
    """One side said no to the other: another secret, another version.  `by_peer` tells which."""

    def __init__(self, reason: str, *, by_peer: bool) -> None:
        super().__init__(f"link refused by the {'peer' if by_peer else 'node itself'}: {reason}")
        self.reason = reason
        self.by_peer = by_peer


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a proven peer said about itself."""

    version: int
    node: str
    role: str
    map_version: int


def is_node_name(name: str) -> bool:
    """Whether a node may be called so: 1 to 64 of A-Z a-z 0-9 . _ -"""
    return _NAME.match(name) is not None


def client_proof(secret: bytes, hello: LinkHello, server_nonce: bytes) -> bytes:
    """What a client that knows `secret` puts into its hello."""
    return _proof(secret, b"client", hello.version, (server_nonce, hello.nonce, hello.role.encode(), hello.node.encode()))


def server_proof(secret: bytes, welcome: LinkWelcome, hello: LinkHello, server_nonce: bytes) -> bytes:
    """What a server that knows `secret` puts into its welcome, in answer to `hello`."""
    names = (hello.role.encode(), hello.node.encode(), welcome.node.encode(), str(welcome.map_version).encode())
    return _proof(secret, b"server", welcome.version, (server_nonce, hello.nonce, *names))


def _proof(secret: bytes, direction: bytes, version: int, parts: Sequence[bytes]) -> bytes:
    message = b"".join(
        struct.pack("!I", len(part)) + part for part in (b"parvis link", direction, str(version).encode(), *parts)
    )
    return hmac.digest(secret, message, "sha256")


async def introduce_as_client(
    transport: Transport, *, secrets: Sequence[bytes], role: str, node: str, rng: Random
) -> Introduction:
    """The client's half; closes the transport and raises as `open_client_link` says."""
    _check_own(secrets, node)
    with _conversation(transport) as peer:
        challenge = await peer.receive(LinkChallenge)
        _check_nonce(challenge.nonce)
        version = min(LINK_VERSION, challenge.version)
        if version < max(LINK_VERSION_MIN, challenge.version_min):
            peer.refuse(_version_sentence(LINK_VERSION_MIN, LINK_VERSION, challenge.version_min, challenge.version))
        unsigned = LinkHello(version, role, node, rng.randbytes(NONCE_BYTES), b"")
        hello = LinkHello(version, role, node, unsigned.nonce, client_proof(secrets[0], unsigned, challenge.nonce))
        await peer.send(hello)
        welcome = await peer.receive(LinkWelcome)
        _check_name("node", welcome.node)
        if welcome.version != version:
            raise PeerError(CloseCode.BAD_REQUEST, f"link version {welcome.version} answered to a hello of version {version}")
        if _knower(secrets, welcome.proof, lambda secret: server_proof(secret, welcome, hello, challenge.nonce)) is None:
            peer.refuse("the server's proof fits none of this node's link secrets")
        return Introduction(version, welcome.node, SERVER_ROLE, welcome.map_version)


async def introduce_as_server(
    transport: Transport, *, secrets: Sequence[bytes], node: str, map_version: int, rng: Random
) -> Introduction:
    """The server's half; closes the transport and raises as `open_server_link` says."""
    _check_own(secrets, node)
    with _conversation(transport) as peer:
        nonce = rng.randbytes(NONCE_BYTES)
        await peer.send(LinkChallenge(LINK_VERSION, LINK_VERSION_MIN, nonce))
        hello = await peer.receive(LinkHello)
        _check_nonce(hello.nonce)
        _check_name("role", hello.role)
        _check_name("node", hello.node)
        if not LINK_VERSION_MIN <= hello.version <= LINK_VERSION:
            peer.refuse(_version_sentence(LINK_VERSION_MIN, LINK_VERSION, hello.version, hello.version))
        secret = _knower(secrets, hello.proof, lambda secret: client_proof(secret, hello, nonce))
        if secret is None:
            peer.refuse("the client's proof fits none of this node's link secrets")
        unsigned = LinkWelcome(hello.version, node, b"", map_version)
        await peer.send(LinkWelcome(hello.version, node, server_proof(secret, unsigned, hello, nonce), map_version))
        return Introduction(hello.version, hello.node, hello.role, 0)


class _Conversation:
    """The messages of one handshake, read to the byte, so that nothing of what follows is taken."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, message: NodeMessage) -> None:
        payload = encode_node_message(message)
        await send_all(self._transport, pack_length(len(payload)) + payload)

    async def receive(self, kind: type[M]) -> M:
        """The peer's next message, which must be a `kind`; a refusal raises `LinkRefusedError`."""
        header = await recv_exactly(self._transport, HEADER_BYTES)
        length = frame_length(header, bytes_max=HANDSHAKE_MESSAGE_BYTES_MAX)
        message = decode_node_message(await recv_exactly(self._transport, length))
        if isinstance(message, LinkRefused):
            raise LinkRefusedError(message.reason, by_peer=True)
        if not isinstance(message, kind):
            raise PeerError(CloseCode.BAD_REQUEST, f"{type(message).__name__} where the handshake has {kind.__name__}")
        return message

    def refuse(self, reason: str) -> NoReturn:
        """Say no to the peer and raise it here."""
        self.tell(reason)
        raise LinkRefusedError(reason, by_peer=False)

    def tell(self, reason: str) -> None:
        """Put the reason on the wire if the kernel takes it at once: a courtesy, not worth a wait."""
        payload = encode_node_message(LinkRefused(reason))
        with suppress(OSError):
            self._transport.try_send(pack_length(len(payload)) + payload)


@contextmanager
def _conversation(transport: Transport) -> Iterator[_Conversation]:
    """Bound a handshake by its deadline; whatever goes wrong, the transport is closed and the error has a name."""
    conversation = _Conversation(transport)
    with closed_on_error(transport):
        try:
            with trio.move_on_after(LINK_HELLO_DEADLINE_S) as scope:
                yield conversation
            if scope.cancelled_caught:
                raise TimeoutError(f"the link handshake with {transport.peer} took longer than {LINK_HELLO_DEADLINE_S} s")
        except PeerError as error:
            conversation.tell(error.message)
            raise
        except trio.ClosedResourceError as error:
            raise ConnectionAbortedError(f"the link with {transport.peer} was closed during the handshake") from error


def _check_own(secrets: Sequence[bytes], node: str) -> None:
    """Reject our own nonsense before a peer sees it."""
    if not secrets or not all(secrets):
        raise ValueError("a link needs at least one secret, and none may be empty")
    if not is_node_name(node):
        raise ValueError(f"{node!r} is no node name: 1 to 64 of A-Z a-z 0-9 . _ -")


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_BYTES:
        raise PeerError(CloseCode.BAD_REQUEST, f"link nonce of {len(nonce)} bytes, not {NONCE_BYTES}")


def _check_name(what: str, name: str) -> None:
    # Names of peers go into logs and metrics, so a stranger's are checked before anything else is.
    if not _NAME.match(name):
        raise PeerError(CloseCode.BAD_REQUEST, f"a link {what} of {len(name)} characters is not 1 to 64 of A-Z a-z 0-9 . _ -")


def _knower(secrets: Sequence[bytes], proof: bytes, prove: Callable[[bytes], bytes]) -> bytes | None:
    """The secret that made `proof`, compared in constant time; None when none of ours did."""
    for secret in secrets:
        if hmac.compare_digest(prove(secret), proof):
            return secret
    return None


def _version_sentence(ours_min: int, ours: int, theirs_min: int, theirs: int) -> str:
    return f"link versions {ours_min} to {ours} here and {theirs_min} to {theirs} there have none in common"
