"""The one error of decoders carries the code its connection is closed with."""

from wire.codes import CloseCode
from wire.errors import PeerError


def test_a_peer_error_says_its_code_and_sentence() -> None:
    error = PeerError(CloseCode.TOO_BIG, "frame of 70012 bytes exceeds 65536")
    assert (error.code, error.message, str(error)) == (CloseCode.TOO_BIG,) + ("frame of 70012 bytes exceeds 65536",) * 2
