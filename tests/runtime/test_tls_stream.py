"""runtime/tls_stream.py: whatever the kernel takes and gives, what is accepted leaves once, in order and whole."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.certificates import load_pair
from runtime.tls_stream import HandshakeStep, HandshakeTooLarge, TlsStream
from tests.support.tls import client_context, write_pair
from wire.limits import TLS_HANDSHAKE_BYTES_MAX, TLS_UNSENT_BYTES_MAX, TLS_WRITE_BYTES_MAX


class Pipe:
    """One direction of a kernel: it takes `room` bytes more, and gives at most `cut` at a time."""

    def __init__(self) -> None:
        self.room = 10**9
        self.cut = 10**9
        self.waiting = b""
        self.passed = 0
        self.ended = False

    def send(self, data: bytes) -> int:
        taken = min(self.room, len(data))
        if not taken:
            raise BlockingIOError
        self.room -= taken
        self.passed += taken
        self.waiting += data[:taken]
        return taken

    def recv(self, bytes_max: int) -> bytes:
        count = min(bytes_max, self.cut)
        data, self.waiting = self.waiting[:count], self.waiting[count:]
        if not data and not self.ended:
            raise BlockingIOError
        return data


class Meeting:
    """A client and a server over two pipes."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext | None = None) -> None:
        self.up, self.down = Pipe(), Pipe()
        self.server = TlsStream(server, self.down.send, self.up.recv)
        self.client = TlsStream(client or client_context(), self.up.send, self.down.recv, server_name="localhost")

    def shake_hands(self) -> "Meeting":
        steps = [HandshakeStep.WANTS_BYTES] * 2
        while steps != [HandshakeStep.OVER] * 2:
            steps = [self.client.step_handshake(), self.server.step_handshake()]
        return self

    def read_all(self) -> bytes:
        """All that the client can read now."""
        heard = b""
        while True:
            try:
                data = self.client.recv(1000)
            except BlockingIOError:
                if not self.client.holds_bytes and not self.down.waiting:
                    return heard
                continue
            if not data:
                return heard
            heard += data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return load_pair(write_pair(tmp_path_factory.mktemp("pair"))).context


def bytes_of(size: int) -> bytes:
    """Different at every place, so that a piece that comes twice or too late is seen."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


sizes = st.one_of(st.integers(2, 300), st.integers(4000, 4200), st.integers(TLS_WRITE_BYTES_MAX - 3, 3 * TLS_WRITE_BYTES_MAX))
rooms = st.one_of(st.integers(0, 40), st.integers(0, 5000), st.integers(20_000, 90_000))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(sizes, rooms), min_size=1, max_size=8), st.integers(64, 5000))
def test_what_is_accepted_leaves_once_in_order_and_whole(server: ssl.SSLContext, plays: list[tuple[int, int]], cut: int) -> None:
    """A caller keeps the rest of a cut buffer and finishes it first; one that was refused sends something else instead."""
    meeting = Meeting(server).shake_hands()
    meeting.down.cut = cut
    accepted, rest, heard, serial = b"", b"", b"", 0
    for size, room in plays:
        meeting.down.room = room
        if not rest:
            serial += 1
            rest = bytes([serial]) * 2 + bytes_of(size)[2:]
            fresh = True
        else:
            fresh = False
        try:
            taken = meeting.server.send(rest)
        except BlockingIOError:
            taken = 0
        # Nothing taken of a fresh buffer: the caller is free to forget it, as a reader that lags does.
        accepted += rest[:taken]
        rest = b"" if fresh and not taken else rest[taken:]
        assert len(meeting.server._unsent) <= TLS_UNSENT_BYTES_MAX
        assert not meeting.server._unsent or rest or not taken, "something waits, and the caller was told that all is taken"
        heard += meeting.read_all()
        assert accepted.startswith(heard) or heard[: len(accepted)] == accepted
    meeting.down.room = 10**9
    while rest:
        taken = meeting.server.send(rest)
        accepted, rest = accepted + rest[:taken], rest[taken:]
    assert heard + meeting.read_all() == accepted


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.booleans())
def test_a_handshake_may_be_cut_anywhere_and_waits_for_room(server: ssl.SSLContext, up: int, down: int, is_1_2: bool) -> None:
    client = client_context(maximum_version=ssl.TLSVersion.TLSv1_2) if is_1_2 else client_context()
    meeting = Meeting(server, client)
    meeting.up.cut, meeting.down.cut = up, down
    meeting.down.room = 0
    asked_for_room = False
    steps = [HandshakeStep.WANTS_BYTES] * 2
    while steps != [HandshakeStep.OVER] * 2:
        steps = [meeting.client.step_handshake(), meeting.server.step_handshake()]
        if steps[1] is HandshakeStep.WANTS_ROOM:
            asked_for_room = True
            meeting.down.room = down
    assert asked_for_room
    meeting.down.room = 10**9
    assert meeting.server.send(b"hello") == 5
    assert meeting.read_all() == b"hello"


def test_a_cut_buffer_is_never_told_as_untouched_nor_as_gone(server: ssl.SSLContext) -> None:
    for room in (0, 1, 21, 5000):
        meeting = Meeting(server).shake_hands()
        meeting.down.room = room
        data = bytes_of(9000)
        taken = meeting.server.send(data)
        assert 0 < taken < len(data)
        with pytest.raises(BlockingIOError):
            meeting.server.send(data[taken:])
        meeting.down.room = 10**9
        assert meeting.server.send(data[taken:]) == len(data) - taken
        assert meeting.read_all() == data


def test_while_something_waits_nothing_more_is_encrypted(server: ssl.SSLContext) -> None:
    meeting = Meeting(server).shake_hands()
    meeting.down.room = 0
    data = bytes_of(200_000)
    rest = data[meeting.server.send(data) :]
    held = len(meeting.server._unsent)
    assert TLS_WRITE_BYTES_MAX < held <= TLS_UNSENT_BYTES_MAX
    for _ in range(100):
        with pytest.raises(BlockingIOError):
            meeting.server.send(rest)
    assert len(meeting.server._unsent) == held


def test_before_the_handshake_nothing_is_sent_or_received(server: ssl.SSLContext) -> None:
    meeting = Meeting(server)
    for call in (lambda: meeting.server.send(b"x"), lambda: meeting.server.recv(1)):
        with pytest.raises(OSError, match="not"):
            call()
    assert meeting.down.passed == 0


def test_who_leaves_during_the_handshake_is_gone(server: ssl.SSLContext) -> None:
    meeting = Meeting(server)
    meeting.up.ended = True
    with pytest.raises(ConnectionResetError):
        meeting.server.step_handshake()


def test_a_handshake_is_bounded_in_bytes(server: ssl.SSLContext) -> None:
    """OpenSSL alone keeps up to 128 KiB of a hello that does not end."""
    meeting = Meeting(server)
    length = 100_000
    hello = b"\x01" + length.to_bytes(3, "big") + bytes(length)
    records = b"".join(
        b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part
        for part in (hello[start : start + 16384] for start in range(0, len(hello), 16384))
    )
    meeting.up.send(records)
    with pytest.raises(HandshakeTooLarge):
        meeting.server.step_handshake()
    assert len(records) - len(meeting.up.waiting) <= TLS_HANDSHAKE_BYTES_MAX + 4096


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"rubbish, and a lot of it" * 10, bytes(500)])
def test_what_is_no_tls_is_an_error_of_the_peer_and_is_told(server: ssl.SSLContext, words: bytes) -> None:
    meeting = Meeting(server)
    meeting.up.send(words)
    with pytest.raises(ssl.SSLError):
        meeting.server.step_handshake()
    meeting.server.refuse(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert meeting.down.waiting.startswith(b"HTTP/1.1 400")


def test_a_peer_that_we_refuse_gets_tls_s_own_word_for_it(server: ssl.SSLContext) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old = client_context(minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    meeting = Meeting(server, old)
    meeting.client.step_handshake()
    with pytest.raises(ssl.SSLError):
        meeting.server.step_handshake()
    meeting.server.refuse()
    # An alert record, fatal: "protocol version".
    assert meeting.down.waiting[0] == 21
    assert meeting.down.waiting[-2:] == bytes((2, 70))


def test_rubbish_on_an_open_stream_ends_it(server: ssl.SSLContext) -> None:
    meeting = Meeting(server).shake_hands()
    meeting.up.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ssl.SSLError):
        meeting.server.recv(100)


def test_a_tls_goodbye_is_the_end_of_the_stream(server: ssl.SSLContext) -> None:
    meeting = Meeting(server).shake_hands()
    meeting.client.send(b"last words")
    meeting.client.close(says_goodbye=True)
    assert meeting.server.recv(100) == b"last words"
    assert meeting.server.recv(100) == b""
    assert meeting.server.recv(100) == b""


def test_the_end_of_the_stream_below_is_the_end_too(server: ssl.SSLContext) -> None:
    meeting = Meeting(server).shake_hands()
    meeting.up.ended = True
    assert meeting.server.recv(100) == b""


def test_no_goodbye_is_said_behind_half_a_buffer(server: ssl.SSLContext) -> None:
    meeting = Meeting(server).shake_hands()
    meeting.read_all()
    meeting.down.room = 1000
    meeting.server.send(bytes_of(9000))
    meeting.down.room, before = 10**9, meeting.down.passed
    meeting.server.close(says_goodbye=True)
    assert meeting.down.passed == before
    with pytest.raises(OSError, match="not open"):
        meeting.server.recv(1)


def test_an_abort_says_nothing(server: ssl.SSLContext) -> None:
    meeting = Meeting(server).shake_hands()
    before = meeting.down.passed
    meeting.server.close(says_goodbye=False)
    assert meeting.down.passed == before


def _asking(server: ssl.SSLContext) -> tuple[ssl.SSLObject, TlsStream, Pipe, Callable[[], None]]:
    """A peer that asks our side for answers of TLS's own after the handshake (a certificate, as TLS 1.3 allows)."""
    client = client_context(post_handshake_auth=True)
    meeting = Meeting(server, client).shake_hands()
    meeting.read_all()
    tls = meeting.server._tls

    def ask() -> None:
        tls.verify_client_post_handshake()
        tls.write(b"x")
        meeting.down.send(meeting.server._outgoing.read())

    return tls, meeting.client, meeting.up, ask


@pytest.fixture
def asking_server(tmp_path: Path) -> ssl.SSLContext:
    context = load_pair(write_pair(tmp_path)).context
    context.verify_mode = ssl.CERT_OPTIONAL
    context.post_handshake_auth = True
    return context


def test_answers_of_tls_s_own_leave_in_their_place_also_when_we_only_read(asking_server: ssl.SSLContext) -> None:
    tls, ours, up, ask = _asking(asking_server)
    ask()
    before = up.passed
    assert ours.recv(100) == b"x"
    assert up.passed > before, "the answer went out with the read"
    assert ours.send(b"and now a line") == 14
    incoming = up.recv(10**6)
    assert incoming
    assert tls.context is asking_server


def test_an_answer_that_finds_no_room_leaves_with_the_next_send(asking_server: ssl.SSLContext) -> None:
    _, ours, up, ask = _asking(asking_server)
    ask()
    up.room = 0
    assert ours.recv(100) == b"x"
    assert ours._unsent
    with pytest.raises(BlockingIOError):
        ours.send(b"a line")
    up.room = 10**9
    assert ours.send(b"a line") == 6
    assert not ours._unsent
