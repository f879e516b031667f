"""Agreeing on compression: RFC 7692's own rules, and two other implementations as oracles."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import InvalidHeaderFormat, NegotiationError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.headers import parse_extension
from wsproto.extensions import PerMessageDeflate

from gateway.extensions import MalformedExtensions, agree_on_deflate, offers_in
from wire.limits import HANDSHAKE_BYTES_MAX

OURS = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
OURS_WITH_WINDOW = OURS + b"; server_max_window_bits=15"


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (b"permessage-deflate", OURS),
        # Chromium's and Safari's, then Firefox's.
        (b"permessage-deflate; client_max_window_bits", OURS),
        (b"permessage-deflate;client_max_window_bits=15", OURS),
        (b"permessage-deflate; client_max_window_bits=8", OURS),
        (b'permessage-deflate; client_max_window_bits="1\\0"', OURS),
        (b"permessage-deflate; server_no_context_takeover", OURS),
        (b"permessage-deflate; client_no_context_takeover; server_no_context_takeover", OURS),
        (b"permessage-deflate; server_max_window_bits=15", OURS_WITH_WINDOW),
        (b'permessage-deflate ;\tserver_max_window_bits = "15" ; client_max_window_bits', OURS_WITH_WINDOW),
        (b" , permessage-deflate , ", OURS),
    ],
)  # fmt: skip
def test_an_offer_that_leaves_us_our_terms_is_answered_with_them(offer: bytes, answer: bytes) -> None:
    assert agree_on_deflate([offer]) == answer


@pytest.mark.parametrize(
    "offer",
    [
        b"permessage-deflate; server_max_window_bits=8",
        b"permessage-deflate; server_max_window_bits=14",
        b"permessage-deflate; server_max_window_bits",
        b"permessage-deflate; server_max_window_bits=015",
        b"permessage-deflate; server_max_window_bits=16",
        b"permessage-deflate; client_max_window_bits=7",
        b"permessage-deflate; client_max_window_bits=16",
        b"permessage-deflate; client_max_window_bits=08",
        b"permessage-deflate; client_max_window_bits=+9",
        b"permessage-deflate; client_max_window_bits=1e1",
        b"permessage-deflate; server_no_context_takeover=1",
        b'permessage-deflate; client_no_context_takeover="true"',
        b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        b"permessage-deflate; client_max_window_bits; client_max_window_bits=15",
        b"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
        b"permessage-deflate; unknown",
        b"permessage-deflate; Server_no_context_takeover",
        b"Permessage-Deflate",
        b"x-webkit-deflate-frame",
        b"permessage-bzip2; client_max_compress_level=1",
        b"",
        b" , ,",
    ],
)
def test_an_offer_with_other_terms_is_declined_and_nothing_is_agreed(offer: bytes) -> None:
    assert agree_on_deflate([offer]) is None


def test_without_an_offer_nothing_is_agreed() -> None:
    assert agree_on_deflate([]) is None


def test_the_first_offer_that_can_be_met_is_taken_in_whichever_line_it_stands() -> None:
    small, unknown = b"permessage-deflate; server_max_window_bits=10", b"permessage-deflate; mystery=1"
    met = b"permessage-deflate; server_max_window_bits=15"
    assert agree_on_deflate([small + b", foo; bar=1," + unknown, met]) == OURS_WITH_WINDOW
    assert agree_on_deflate([b"permessage-deflate, permessage-deflate; server_max_window_bits=15"]) == OURS
    assert agree_on_deflate([small, unknown]) is None


@pytest.mark.parametrize(
    "header",
    [
        b"permessage-deflate;", b"permessage-deflate; ;a", b";", b"=", b"permessage-deflate a", b"permessage-deflate=1",
        b"permessage-deflate; a=", b"permessage-deflate; a==b", b'permessage-deflate; a="', b'permessage-deflate; a="b',
        b'permessage-deflate; a=""', b'permessage-deflate; a="b c"', b'permessage-deflate; a="b"c', b"\xe9", b'"a"', b"a\x00",
        b"permessage-deflate, permessage-deflate; a=;",
    ],
)  # fmt: skip
def test_a_header_that_is_no_list_of_extensions_fails_the_handshake(header: bytes) -> None:
    with pytest.raises(MalformedExtensions):
        agree_on_deflate([header])


def test_a_head_full_of_it_is_read_at_once() -> None:
    """No shape of 8 KiB makes the patterns go back and forth; the test's own timeout is the bound."""
    for piece in (b";", b'"', b"a;", b'a="', b" ", b"\t,", b'\\"', b"a=b;", b'";a="'):
        header = b"a; a=" + piece * (HANDSHAKE_BYTES_MAX // len(piece))
        try:
            offers_in(header)
        except MalformedExtensions:
            continue


_NAMES = ["server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits", "other"]
_VALUES = ["", "=8", "=9", "=12", "=14", "=15", '="15"', "=16", "=07", "=x", " = 15"]
_parameters = st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES)), max_size=4)
_offers = st.tuples(st.sampled_from(["permessage-deflate", "permessage-deflate", "other"]), _parameters)


def _written(offers: list[tuple[str, list[tuple[str, str]]]]) -> str:
    return ", ".join("; ".join([name, *(each + value for each, value in parameters)]) for name, parameters in offers)


def _by_websockets(header: str) -> bytes | None:
    """What its server would agree to under our terms; it can do a smaller window, which we decline."""
    factory = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
    for name, parameters in parse_extension(header):
        if name != "permessage-deflate" or any(each == "server_max_window_bits" and value != "15" for each, value in parameters):
            continue
        try:
            factory.process_request_params(parameters, [])
        except NegotiationError:
            continue
        return OURS_WITH_WINDOW if ("server_max_window_bits", "15") in parameters else OURS
    return None


@given(st.lists(_offers, min_size=1, max_size=4))
@settings(max_examples=500, deadline=None)
def test_websockets_agrees_to_the_same_offers(offers: list[tuple[str, list[tuple[str, str]]]]) -> None:
    header = _written(offers)
    assert agree_on_deflate([header.encode()]) == _by_websockets(header)


_pieces = st.sampled_from(["a", "permessage-deflate", ";", ",", "=", '"', "\\", " ", "\t", '"15"', "/", "é"])


@given(st.lists(_pieces, min_size=1, max_size=12).map("".join))
@settings(max_examples=1000, deadline=None)
def test_websockets_reads_the_same_out_of_any_header(header: str) -> None:
    header = header.strip(" \t")
    encoded = header.encode("latin-1")
    try:
        wanted = [(name, list(parameters)) for name, parameters in parse_extension(header)]
    except InvalidHeaderFormat:
        if not header.strip(" \t,"):
            # A list of nothing: we take it for what it says.
            assert offers_in(encoded) == []
            return
        with pytest.raises(MalformedExtensions):
            offers_in(encoded)
        return
    read = offers_in(encoded)
    assert [(name.decode(), [(key.decode(), value and value.decode()) for key, value in each]) for name, each in read] == wanted


def test_wsproto_and_websockets_as_clients_take_the_answer() -> None:
    theirs = PerMessageDeflate()
    offer = theirs.offer()
    assert isinstance(offer, str)
    answer = agree_on_deflate([b"permessage-deflate; " + offer.encode()])
    assert answer == OURS_WITH_WINDOW
    theirs.finalize(answer.decode())
    assert (theirs.server_no_context_takeover, theirs.client_no_context_takeover) == (True, True)
    assert (theirs.server_max_window_bits, theirs.client_max_window_bits) == (15, 15)

    factory = ClientPerMessageDeflateFactory(server_max_window_bits=15, client_max_window_bits=True)
    parameters = "; ".join(name if value is None else f"{name}={value}" for name, value in factory.get_request_params())
    answer = agree_on_deflate([f"permessage-deflate; {parameters}".encode()])
    assert answer is not None
    ((name, answered),) = parse_extension(answer.decode())
    agreed = factory.process_response_params(answered, [])
    assert name == "permessage-deflate"
    assert agreed.remote_no_context_takeover
    assert agreed.local_no_context_takeover
