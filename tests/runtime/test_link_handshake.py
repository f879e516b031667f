"""The link handshake: only who knows the secret gets in, and whoever does not is told why."""

from collections.abc import Awaitable, Callable
from random import Random

import msgspec
import pytest
import trio

from runtime import link_handshake
from runtime.link_frames import pack_length
from runtime.link_handshake import (
    HANDSHAKE_MESSAGE_BYTES_MAX,
    Introduction,
    LinkRefusedError,
    client_proof,
    introduce_as_client,
    introduce_as_server,
    server_proof,
)
from runtime.sockets import SocketNetwork
from runtime.streams import recv_exactly, recv_some, send_all
from runtime.transport import Transport
from wire.errors import PeerError
from wire.limits import LINK_HELLO_DEADLINE_S
from wire.node_messages import (
    LINK_VERSION,
    LINK_VERSION_MIN,
    AnyNodeMessage,
    LinkChallenge,
    LinkHello,
    LinkPing,
    LinkRefused,
    LinkWelcome,
    NodeMessage,
    decode_node_message,
    encode_node_message,
)

OLD, NEW = b"the old secret", b"the new secret"
NONCE = bytes(32)


async def say(transport: Transport, message: NodeMessage) -> None:
    payload = encode_node_message(message)
    await send_all(transport, pack_length(len(payload)) + payload)


async def hear(transport: Transport) -> AnyNodeMessage:
    length = int.from_bytes(await recv_exactly(transport, 4), "big")
    return decode_node_message(await recv_exactly(transport, length))


async def both(client_secrets: list[bytes], server_secrets: list[bytes]) -> list[Introduction | Exception]:
    """What each side (client, server) of a handshake ends with."""
    near, far = SocketNetwork().pair()
    ends: dict[str, Introduction | Exception] = {}

    async def keep(who: str, half: Callable[[], Awaitable[Introduction]]) -> None:
        try:
            ends[who] = await half()
        except (LinkRefusedError, PeerError, OSError) as error:
            ends[who] = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            keep, "client", lambda: introduce_as_client(near, secrets=client_secrets, role="gateway", node="g-1", rng=Random(1))
        )
        nursery.start_soon(
            keep, "server", lambda: introduce_as_server(far, secrets=server_secrets, node="shard-1", map_version=7, rng=Random(2))
        )
    near.close()
    far.close()
    return [ends["client"], ends["server"]]


async def test_both_learn_who_the_other_is() -> None:
    assert await both([NEW], [NEW]) == [
        Introduction(LINK_VERSION, "shard-1", "shard", 7),
        Introduction(LINK_VERSION, "g-1", "gateway", 0),
    ]


@pytest.mark.parametrize(
    ("client", "server"), [([OLD], [NEW, OLD]), ([NEW, OLD], [OLD, NEW]), ([OLD, NEW], [NEW, OLD]), ([NEW, OLD], [NEW])]
)
async def test_a_rotation_in_progress_keeps_links_open(client: list[bytes], server: list[bytes]) -> None:
    assert all(isinstance(end, Introduction) for end in await both(client, server))


async def test_another_secret_is_refused_and_both_sides_know_why() -> None:
    client, server = await both([OLD], [NEW])
    assert isinstance(client, LinkRefusedError)
    assert isinstance(server, LinkRefusedError)
    assert client.by_peer
    assert not server.by_peer
    assert client.reason == server.reason == "the client's proof fits none of this node's link secrets"


async def test_a_server_that_does_not_know_the_secret_is_refused_by_the_client() -> None:
    near, far = SocketNetwork().pair()

    async def impostor() -> None:
        await say(far, LinkChallenge(1, 1, NONCE))
        hello = await hear(far)
        assert isinstance(hello, LinkHello)
        # All an impostor has is what the client sent: its own proof, reflected.
        await say(far, LinkWelcome(1, "shard-1", hello.proof, 1))
        assert isinstance(await hear(far), LinkRefused)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(impostor)
        with pytest.raises(LinkRefusedError, match="server's proof fits none"):
            await introduce_as_client(near, secrets=[NEW], role="gateway", node="g-1", rng=Random(1))
    far.close()


async def test_the_secret_never_crosses_the_wire() -> None:
    near, far = SocketNetwork().pair()
    async with trio.open_nursery() as nursery:
        await say(far, LinkChallenge(1, 1, NONCE))

        async def client() -> None:
            with pytest.raises(ConnectionResetError):
                await introduce_as_client(near, secrets=[NEW], role="gateway", node="g-1", rng=Random(1))

        nursery.start_soon(client)
        assert NEW not in await recv_some(far)
        far.close()


@pytest.mark.parametrize("change", [{"role": "api"}, {"node": "g-2"}, {"nonce": bytes([1] * 32)}, {"version": 2}])
def test_a_client_proof_covers_all_that_the_client_claims(change: dict[str, object]) -> None:
    hello = LinkHello(1, "gateway", "g-1", NONCE, b"")
    assert client_proof(NEW, hello, NONCE) != client_proof(NEW, msgspec.structs.replace(hello, **change), NONCE)
    assert client_proof(NEW, hello, NONCE) != client_proof(NEW, hello, bytes([1] * 32))


@pytest.mark.parametrize("change", [{"node": "shard-2"}, {"map_version": 2}, {"version": 2}])
def test_a_server_proof_covers_all_that_the_server_claims(change: dict[str, object]) -> None:
    hello = LinkHello(1, "gateway", "g-1", NONCE, b"")
    welcome = LinkWelcome(1, "shard-1", b"", 1)
    proof = server_proof(NEW, welcome, hello, NONCE)
    assert proof != server_proof(NEW, msgspec.structs.replace(welcome, **change), hello, NONCE)
    assert proof != server_proof(NEW, welcome, hello, bytes([1] * 32))
    assert proof != server_proof(NEW, welcome, msgspec.structs.replace(hello, nonce=bytes([1] * 32)), NONCE)
    assert proof != client_proof(NEW, hello, NONCE)


def test_names_cannot_slide_between_the_parts_of_a_proof() -> None:
    one = LinkHello(1, "gate", "way-1", NONCE, b"")
    other = LinkHello(1, "gateway", "-1", NONCE, b"")
    assert client_proof(NEW, one, NONCE) != client_proof(NEW, other, NONCE)


async def server_answer_to(*said: NodeMessage | bytes) -> tuple[Exception, bytes]:
    """Say these to a server; its error and what it said."""
    near, far = SocketNetwork().pair()
    error: list[Exception] = []

    async def serve() -> None:
        with pytest.raises((LinkRefusedError, PeerError, OSError)) as raised:
            await introduce_as_server(far, secrets=[NEW], node="shard-1", map_version=7, rng=Random(2))
        error.append(raised.value)

    heard = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        for message in said:
            if isinstance(message, bytes):
                await send_all(near, message)
            else:
                await say(near, message)
        while not error:
            await trio.lowlevel.checkpoint()
    while chunk := await recv_some(near):
        heard += chunk
    near.close()
    return error[0], heard


async def test_a_version_without_common_ground_is_refused_in_plain_words() -> None:
    error, heard = await server_answer_to(LinkHello(99, "gateway", "g-1", NONCE, b""))
    assert isinstance(error, LinkRefusedError)
    assert error.reason == f"link versions {LINK_VERSION_MIN} to {LINK_VERSION} here and 99 to 99 there have none in common"
    assert error.reason.encode() in heard


async def test_a_client_refuses_a_server_that_only_speaks_newer_versions() -> None:
    near, far = SocketNetwork().pair()
    await say(far, LinkChallenge(9, 8, NONCE))
    with pytest.raises(LinkRefusedError, match=f"{LINK_VERSION_MIN} to {LINK_VERSION} here and 8 to 9 there"):
        await introduce_as_client(near, secrets=[NEW], role="gateway", node="g-1", rng=Random(1))
    assert isinstance(await hear(far), LinkRefused)
    far.close()


async def test_a_newer_server_is_spoken_to_in_our_version() -> None:
    near, far = SocketNetwork().pair()

    async def newer_server() -> None:
        await say(far, LinkChallenge(LINK_VERSION + 1, LINK_VERSION, NONCE))
        hello = await hear(far)
        assert isinstance(hello, LinkHello)
        assert hello.version == LINK_VERSION
        unsigned = LinkWelcome(LINK_VERSION, "shard-1", b"", 7)
        await say(far, LinkWelcome(LINK_VERSION, "shard-1", server_proof(NEW, unsigned, hello, NONCE), 7))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(newer_server)
        introduction = await introduce_as_client(near, secrets=[NEW], role="gateway", node="g-1", rng=Random(1))
    assert introduction.version == LINK_VERSION
    near.close()
    far.close()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (LinkPing(1.0), "LinkPing where the handshake has LinkHello"),
        (b"\0\0\0\3abc", "link message of 3 bytes is none of ours"),
        (b"\xff\xff\xff\xff", f"exceeds {HANDSHAKE_MESSAGE_BYTES_MAX}"),
        (LinkHello(1, "gateway", "g\n1", NONCE, b""), "a link node of 3 characters"),
        (LinkHello(1, "", "g-1", NONCE, b""), "a link role of 0 characters"),
        (LinkHello(1, "gateway", "g-1", b"short", b""), "link nonce of 5 bytes, not 32"),
    ],
)
async def test_rubbish_instead_of_a_hello_is_a_peer_error_that_the_peer_is_told(said: NodeMessage | bytes, sentence: str) -> None:
    error, heard = await server_answer_to(said)
    assert isinstance(error, PeerError)
    assert sentence in error.message
    assert sentence.encode() in heard


async def test_a_silent_client_is_cut_at_the_deadline(autojump_clock: trio.testing.MockClock) -> None:
    near, far = SocketNetwork().pair()
    began = trio.current_time()
    with pytest.raises(TimeoutError, match="took longer than"):
        await introduce_as_server(far, secrets=[NEW], node="shard-1", map_version=7, rng=Random(2))
    assert trio.current_time() - began == pytest.approx(LINK_HELLO_DEADLINE_S)
    assert isinstance(await hear(near), LinkChallenge)
    assert await recv_some(near) == b""
    near.close()


async def test_a_client_that_drips_bytes_is_cut_at_the_same_deadline(autojump_clock: trio.testing.MockClock) -> None:
    near, far = SocketNetwork().pair()

    async def drip() -> None:
        for byte in bytes(3) + b"\xff" + bytes(1000):
            await trio.sleep(1)
            near.try_send(bytes([byte]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        with pytest.raises(TimeoutError):
            await introduce_as_server(far, secrets=[NEW], node="shard-1", map_version=7, rng=Random(2))
        nursery.cancel_scope.cancel()
    near.close()


async def test_a_peer_that_leaves_is_an_os_error() -> None:
    near, far = SocketNetwork().pair()
    near.close()
    with pytest.raises(OSError):  # noqa: PT011 -- a reset or a broken pipe, as the kernel sees it
        await introduce_as_server(far, secrets=[NEW], node="shard-1", map_version=7, rng=Random(2))


async def test_a_transport_closed_on_our_side_is_an_os_error_too() -> None:
    near, far = SocketNetwork().pair()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            with pytest.raises(ConnectionAbortedError):
                await introduce_as_server(far, secrets=[NEW], node="shard-1", map_version=7, rng=Random(2))

        nursery.start_soon(serve)
        await trio.testing.wait_all_tasks_blocked()
        far.close()
    near.close()


@pytest.mark.parametrize("secrets", [[], [b""], [NEW, b""]])
async def test_no_secret_is_our_own_mistake(secrets: list[bytes]) -> None:
    near, far = SocketNetwork().pair()
    with pytest.raises(ValueError, match="at least one secret"):
        await introduce_as_client(near, secrets=secrets, role="gateway", node="g-1", rng=Random(1))
    near.close()
    far.close()


def test_the_longest_honest_hello_fits() -> None:
    hello = LinkHello(1, "r" * 64, "n" * 64, bytes(link_handshake.NONCE_BYTES), bytes(32))
    assert len(encode_node_message(hello)) < HANDSHAKE_MESSAGE_BYTES_MAX
