import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, Request
from wsproto.extensions import PerMessageDeflate
from wsproto.handshake import H11Handshake

from gateway.handshake import Accepted, RequestHead, UpgradeRefusal, refusal_response
from runtime.metrics import HANDSHAKE_REFUSALS
from tests.support.edge_server import KEY, request
from wire.client_codec import Form
from wire.limits import HANDSHAKE_BYTES_MAX, HANDSHAKE_HEADERS_MAX

BOTH = (Form.MSGPACK, Form.JSON)
SITE = "https://parvis.example"


def judge(
    data: bytes, *, origins: tuple[str, ...] = (SITE,), cuts: tuple[int, ...] = (), deflates: bool = False
) -> Accepted | UpgradeRefusal | None:
    """The verdict on `data`, fed in pieces cut at `cuts`; None when it is not complete."""
    head = RequestHead()
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        while start < end:
            piece = data[start : min(end, start + head.bytes_wanted)]
            start += len(piece)
            progress = head.feed(piece)
            if isinstance(progress, UpgradeRefusal):
                return progress
            if progress:
                return head.judge(origins, BOTH, deflates=deflates)
    return None


def test_a_good_request_is_accepted_with_the_answer_of_the_rfc() -> None:
    verdict = judge(request())
    assert isinstance(verdict, Accepted)
    assert verdict.form is Form.JSON
    assert verdict.origin == ""
    assert verdict.response == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: parvis.v1.json\r\n\r\n"
    )


def test_wsproto_as_a_client_takes_our_answer() -> None:
    client = H11Handshake(ConnectionType.CLIENT)
    asked = client.send(Request(host="parvis.example", target="/ws?x=1", subprotocols=["parvis.v1.msgpack"]))
    verdict = judge(asked)
    assert isinstance(verdict, Accepted)
    client.receive_data(verdict.response)
    assert [type(event) for event in client.events()] == [AcceptConnection]
    assert verdict.form is Form.MSGPACK


def test_our_order_of_subprotocols_decides_whatever_the_client_prefers() -> None:
    verdict = judge(request(protocol="secret-token, parvis.v1.json, parvis.v1.msgpack"))
    assert isinstance(verdict, Accepted)
    assert verdict.form is Form.MSGPACK


def test_subprotocols_may_come_in_several_lines() -> None:
    lines = b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, parvis.v1.json\r\n"
    verdict = judge(request(drop=b"Sec-WebSocket-Protocol", add=lines))
    assert isinstance(verdict, Accepted)


def test_tokens_of_upgrade_and_connection_are_found_in_any_case_and_line() -> None:
    lines = b"UPGRADE: WebSocket \r\nConnection: close\r\nconnection:keep-alive,\tUPGRADE\t\r\n"
    assert isinstance(judge(request(drop=b"Upgrade").replace(b"Connection: keep-alive, Upgrade\r\n", lines)), Accepted)


def test_space_around_a_value_is_no_part_of_it() -> None:
    lines = b"Sec-WebSocket-Key: \t" + KEY + b" \t\r\nOrigin: https://parvis.example \r\n"
    verdict = judge(request(drop=b"Sec-WebSocket-Key", add=lines))
    assert isinstance(verdict, Accepted)
    assert verdict.origin == SITE


def test_unless_we_want_compression_what_is_offered_is_not_even_read() -> None:
    for offered in (b"permessage-deflate", b"; no list of extensions ="):
        verdict = judge(request(add=b"Sec-WebSocket-Extensions: " + offered + b"\r\n"))
        assert isinstance(verdict, Accepted)
        assert not verdict.deflates
        assert b"xtension" not in verdict.response


def test_compression_is_agreed_on_where_both_sides_want_it() -> None:
    lines = b"Sec-WebSocket-Extensions: foo, permessage-deflate; server_max_window_bits=9\r\n"
    lines += b"sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n"
    verdict = judge(request(add=lines), deflates=True)
    assert isinstance(verdict, Accepted)
    assert verdict.deflates
    assert verdict.response.endswith(
        b"\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n"
    )
    without = judge(request(), deflates=True)
    assert without == judge(request())


def test_who_needs_a_smaller_window_comes_in_without_compression() -> None:
    verdict = judge(request(add=b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n"), deflates=True)
    assert verdict == judge(request())


@pytest.mark.parametrize("offered", [b"permessage-deflate;", b"\xff", b'a; b="c d"'])
def test_extensions_that_are_no_list_of_them_are_refused(offered: bytes) -> None:
    data = request(add=b"Sec-WebSocket-Extensions: " + offered + b"\r\n")
    assert judge(data, deflates=True) is UpgradeRefusal.EXTENSIONS


def test_wsproto_as_a_client_takes_our_compression() -> None:
    client = H11Handshake(ConnectionType.CLIENT)
    extension = PerMessageDeflate()
    asked = client.send(Request(host="a", target="/", subprotocols=["parvis.v1.json"], extensions=[extension]))
    verdict = judge(asked, deflates=True)
    assert isinstance(verdict, Accepted)
    client.receive_data(verdict.response)
    (accepted,) = client.events()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.extensions == [extension]
    assert extension.enabled()


def test_bytes_above_ascii_in_headers_that_decide_nothing_are_let_be() -> None:
    assert isinstance(judge(request(add=b"User-Agent: \xff\xfe\x80\r\nCookie: n\xe4me=1\r\n")), Accepted)


def test_a_known_origin_is_told_on() -> None:
    verdict = judge(request(add=b"Origin: https://parvis.example\r\n"))
    assert isinstance(verdict, Accepted)
    assert verdict.origin == SITE


@pytest.mark.parametrize("origin", [b"https://evil.example", b"https://parvis.example.evil", b"null", b"", b"\xff\xfe"])
def test_an_unknown_origin_is_refused_unless_all_are_allowed(origin: bytes) -> None:
    data = request(add=b"Origin: " + origin + b"\r\n")
    assert judge(data) is UpgradeRefusal.ORIGIN
    assert isinstance(judge(data, origins=("*",)), Accepted)


_ABOVE_ASCII = [b"Host", b"Connection", b"Upgrade", b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"Sec-WebSocket-Protocol"]


@pytest.mark.parametrize("name", _ABOVE_ASCII)
def test_a_byte_above_ascii_in_a_header_that_decides_is_refused(name: bytes) -> None:
    """A default trio-websocket server died of one such byte, with every client (UnicodeDecodeError)."""
    assert isinstance(judge(request(drop=name, add=name + b": \xe9\x80\xff\r\n")), UpgradeRefusal)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", UpgradeRefusal.NOT_HTTP),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UpgradeRefusal.NOT_HTTP),
        (request(add=b"X: a\x00b\r\n"), UpgradeRefusal.NOT_HTTP),
        (request(add=b"X: a\r\n folded\r\n"), UpgradeRefusal.NOT_HTTP),
        (request(add=b"X : a\r\n"), UpgradeRefusal.NOT_HTTP),
        (request(add=b"X\xff: a\r\n"), UpgradeRefusal.NOT_HTTP),
        (request().replace(b"\r\n", b"\n"), UpgradeRefusal.NOT_HTTP),
        (request(target=b"/\x00"), UpgradeRefusal.NOT_HTTP),
        (request(add=b"Content-Length: 0\r\nContent-Length: 1\r\n"), UpgradeRefusal.NOT_HTTP),
        (request(first=b"GET / HTTP/1.0"), UpgradeRefusal.HTTP_VERSION),
        (request(first=b"GET / HTTP/2.0"), UpgradeRefusal.HTTP_VERSION),
        (request(first=b"GET / HTTP/1.2"), UpgradeRefusal.NOT_HTTP),
        (request(first=b"POST / HTTP/1.1"), UpgradeRefusal.METHOD),
        (request(first=b"HEAD / HTTP/1.1"), UpgradeRefusal.METHOD),
        (request(first=b"CONNECT a:1 HTTP/1.1"), UpgradeRefusal.METHOD),
        (request(first=b"FOO / HTTP/1.1"), UpgradeRefusal.NOT_HTTP),
        (request(target=b"http://parvis.example/"), UpgradeRefusal.TARGET),
        (request(target=b"*"), UpgradeRefusal.TARGET),
        (request(drop=b"Host"), UpgradeRefusal.HOST),
        (request(add=b"Host: other\r\n"), UpgradeRefusal.HOST),
        (request(drop=b"Host", add=b"Host: \r\n"), UpgradeRefusal.HOST),
        (request(add=b"Content-Length: 5\r\n"), UpgradeRefusal.BODY),
        (request(add=b"Transfer-Encoding: chunked\r\n"), UpgradeRefusal.BODY),
        (request(drop=b"Upgrade"), UpgradeRefusal.NOT_UPGRADE),
        (request(drop=b"Connection"), UpgradeRefusal.NOT_UPGRADE),
        (request(drop=b"Upgrade", add=b"Upgrade: h2c\r\n"), UpgradeRefusal.NOT_UPGRADE),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", UpgradeRefusal.NOT_UPGRADE),
        (request(drop=b"Sec-WebSocket-Version"), UpgradeRefusal.VERSION),
        (request(drop=b"Sec-WebSocket-Version", add=b"Sec-WebSocket-Version: 8\r\n"), UpgradeRefusal.VERSION),
        (request(add=b"Sec-WebSocket-Version: 13\r\n"), UpgradeRefusal.REPEATED),
        (request(add=b"Sec-WebSocket-Key: " + KEY + b"\r\n"), UpgradeRefusal.REPEATED),
        (request(add=b"Origin: https://parvis.example\r\nOrigin: https://parvis.example\r\n"), UpgradeRefusal.REPEATED),
        (request(drop=b"Sec-WebSocket-Key"), UpgradeRefusal.KEY),
        (request(drop=b"Sec-WebSocket-Protocol"), UpgradeRefusal.SUBPROTOCOL),
        (request(protocol="chat, parvis.v2.json"), UpgradeRefusal.SUBPROTOCOL),
        (request(protocol="PARVIS.V1.JSON"), UpgradeRefusal.SUBPROTOCOL),
    ],
)
def test_what_is_not_a_good_request_is_refused_by_name(data: bytes, refusal: UpgradeRefusal) -> None:
    assert judge(data) is refusal


_BAD_KEYS = [b"", b"AAAA", b"A" * 24, KEY[:-1], KEY[:-1] + b"!", b"!" * 22 + b"==", b"\xff" * 24]


@pytest.mark.parametrize("key", _BAD_KEYS)
def test_a_key_that_is_not_16_bytes_of_base64_is_refused(key: bytes) -> None:
    """trio-websocket accepted any key."""
    assert judge(request(drop=b"Sec-WebSocket-Key", add=b"Sec-WebSocket-Key: " + key + b"\r\n")) is UpgradeRefusal.KEY


def test_a_head_of_exactly_the_bound_is_taken_and_one_byte_more_is_not() -> None:
    padding = HANDSHAKE_BYTES_MAX - len(request(add=b"X: \r\n"))
    assert isinstance(judge(request(add=b"X: " + b"a" * padding + b"\r\n")), Accepted)
    assert judge(request(add=b"X: " + b"a" * (padding + 1) + b"\r\n")) is UpgradeRefusal.TOO_LARGE


def test_a_long_target_is_too_large() -> None:
    assert judge(request(target=b"/" + b"a" * HANDSHAKE_BYTES_MAX)) is UpgradeRefusal.TOO_LARGE


def test_too_many_header_lines_are_too_large() -> None:
    lines_before = request().count(b"\r\n") - 2
    fitting = b"X: 1\r\n" * (HANDSHAKE_HEADERS_MAX - lines_before)
    assert isinstance(judge(request(add=fitting)), Accepted)
    assert judge(request(add=fitting + b"X: 1\r\n")) is UpgradeRefusal.TOO_LARGE


def test_frames_behind_the_head_are_left_over() -> None:
    head = RequestHead()
    assert head.feed(request() + b"\x81\x80\x01\x02\x03\x04") is True
    assert head.leftover == b"\x81\x80\x01\x02\x03\x04"


def test_a_body_that_makes_no_sense_does_not_change_the_verdict() -> None:
    data = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk"
    assert judge(data) is UpgradeRefusal.METHOD


@given(st.lists(st.integers(min_value=0), max_size=20))
@settings(deadline=None)
def test_however_the_head_is_cut_the_verdict_is_the_same(cuts: list[int]) -> None:
    data = request(add=b"X:\r\nOrigin: https://parvis.example\r\nY: \t\r\n")
    assert judge(data, cuts=tuple(cuts)) == judge(data)


_PIECES = [b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"Upgrade: websocket\r\n", b"\r\n", b": ", b"\x00", b"\xff", request()]
_PARTS = st.lists(st.binary(max_size=30) | st.sampled_from(_PIECES), max_size=12)


@given(_PARTS, st.lists(st.integers(min_value=0), max_size=5))
@settings(deadline=None)
def test_any_bytes_give_a_verdict_or_a_wish_for_more(parts: list[bytes], cuts: list[int]) -> None:
    verdict = judge(b"".join(parts), cuts=tuple(cuts))
    assert verdict is None or isinstance(verdict, Accepted | UpgradeRefusal)


@given(st.integers(min_value=0, max_value=len(request()) - 1), st.integers(min_value=0, max_value=255))
@settings(deadline=None)
def test_one_wrong_byte_anywhere_raises_nothing(place: int, byte: int) -> None:
    data = bytearray(request())
    data[place] = byte
    verdict = judge(bytes(data))
    assert verdict is None or isinstance(verdict, Accepted | UpgradeRefusal)


@pytest.mark.parametrize("refusal", UpgradeRefusal)
def test_a_refusal_is_a_whole_http_answer(refusal: UpgradeRefusal) -> None:
    head, _, body = refusal_response(refusal, BOTH).partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines)
    assert first == f"HTTP/1.1 {refusal.answer.status} {refusal.answer.phrase}".encode()
    assert int(fields[b"Content-Length"]) == len(body)
    assert fields[b"Connection"].startswith(b"close")
    assert body.endswith(b".\n")


def test_refusals_carry_what_http_asks_for() -> None:
    assert b"\r\nAllow: GET\r\n" in refusal_response(UpgradeRefusal.METHOD, BOTH)
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in refusal_response(UpgradeRefusal.VERSION, BOTH)
    assert b"\r\nUpgrade: websocket\r\n" in refusal_response(UpgradeRefusal.NOT_UPGRADE, BOTH)
    assert b"\r\nRetry-After: 5\r\n" in refusal_response(UpgradeRefusal.BUSY, BOTH)
    assert b"parvis.v1.msgpack, parvis.v1.json" in refusal_response(UpgradeRefusal.SUBPROTOCOL, BOTH)


def test_metrics_declare_a_name_for_every_refusal() -> None:
    names = [refusal.answer.key for refusal in UpgradeRefusal]
    assert sorted([*names, "peer_gone"]) == sorted(HANDSHAKE_REFUSALS)


def test_the_hops_that_proxies_name_are_kept_line_by_line() -> None:
    head = RequestHead()
    assert head.feed(request(add=b"X-Forwarded-For: 192.0.2.7, 10.0.0.2 \r\nx-forwarded-for:\xff\r\n")) is True
    assert head.forwarded_for == [b"192.0.2.7, 10.0.0.2", b"\xff"]
