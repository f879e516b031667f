"""Why a connection came to nothing, in a word; and whose fault it was."""

import errno
import os

import pytest

from loadtest.connections.failures import errno_of, own_fault, refusal_code


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("the server answered 503", "http 503"),
        ("all attempts to connect to 127.0.0.1:1 failed: [Errno 111] Connection refused", "connection refused"),
        ("all failed: [Errno 111] Error connecting to ('127.0.0.1', 8001): Connection refused", "connection refused"),
        ("[Errno 104] Connection reset by peer", "connection reset by peer"),
        ("no TLS with a: bad certificate", "no TLS"),
        ("the connection broke during the handshake", "failed"),
    ],
)
def test_a_failure_is_told_in_a_word(reason: str, code: str) -> None:
    assert refusal_code(reason) == code


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE])
def test_what_this_machine_runs_out_of_is_no_servers_fault(number: int) -> None:
    reason = f"all attempts failed: {OSError(number, os.strerror(number))}"
    assert errno_of(reason) == number
    assert own_fault(errno_of(reason)) is not None


def test_what_a_server_or_a_network_may_do_is() -> None:
    assert own_fault(errno.ECONNREFUSED) is None
    assert own_fault(errno_of("the server answered 503")) is None
