"""Who the client behind our proxies is, and that nobody can be somebody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxies import Proxies
from runtime.addresses import Networks, parse_address
from runtime.schema import AdmissionSettings
from wire.limits import FORWARDED_HOPS_MAX

PROXY = parse_address("10.0.0.1")
STRANGER = parse_address("198.51.100.9")
BOTH = Proxies(Networks(["10.0.0.0/8", "2001:db8:a::/48"]), proxy_protocol=True, forwarded_for=True)


def client(*lines: str, hop: str = "10.0.0.1") -> str:
    return str(BOTH.client_behind(parse_address(hop), [line.encode("latin-1") for line in lines]))


def test_the_client_is_the_last_hop_that_is_no_proxy_of_ours() -> None:
    assert client("192.0.2.7") == "192.0.2.7"
    assert client("192.0.2.7, 10.0.0.2,10.9.9.9") == "192.0.2.7"
    assert client("192.0.2.7\t,\t2001:db8:a::5") == "192.0.2.7"
    assert client("2001:db8:b::5, [2001:db8:a::5]:1234") == "2001:db8:b::5"


def test_lines_are_one_list_in_their_order() -> None:
    assert client("203.0.113.1", "192.0.2.7, 10.0.0.3", "10.0.0.2") == "192.0.2.7"


def test_what_a_client_writes_itself_stands_to_the_left_and_is_not_believed() -> None:
    assert client("127.0.0.1, 203.0.113.1, 192.0.2.7") == "192.0.2.7"
    assert client("10.0.0.1", "192.0.2.7") == "192.0.2.7"


def test_a_stranger_is_himself_whatever_he_writes() -> None:
    assert client("192.0.2.7", hop="198.51.100.9") == "198.51.100.9"


@pytest.mark.parametrize("line", ["", " ", "unknown", "_hidden", "10.0.0.2,", "192.0.2.7, ;"])
def test_a_hop_that_is_no_address_is_whoever_reported_it(line: str) -> None:
    assert client(line) == "10.0.0.1"
    assert client("192.0.2.7, nonsense, 10.0.0.2") == "10.0.0.2"


def test_no_line_is_the_proxy_itself() -> None:
    assert client() == "10.0.0.1"


def test_a_list_of_many_proxies_is_read_to_its_bound_and_no_further() -> None:
    far = "192.0.2.7" + ", 10.0.0.2" * (FORWARDED_HOPS_MAX - 1)
    assert client(far) == "192.0.2.7"
    assert client(far + ", 10.0.0.3") == "10.0.0.2"


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_nothing_that_a_client_writes_changes_who_our_proxy_says_it_is(lines: list[bytes]) -> None:
    assert BOTH.client_behind(PROXY, [*lines, b"192.0.2.7"]) == parse_address("192.0.2.7")


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_header_leads_to_an_address(lines: list[bytes]) -> None:
    assert BOTH.client_behind(PROXY, lines) is not None


def test_without_the_settings_no_one_is_asked_and_no_header_counts() -> None:
    none = Proxies.of(AdmissionSettings())
    assert not none.speaks_first(PROXY)
    assert not none.forwards(PROXY)
    assert none.client_behind(PROXY, [b"192.0.2.7"]) == PROXY


def test_only_trusted_proxies_speak_first_or_forward() -> None:
    settings = AdmissionSettings(trusted_proxies=["10.0.0.0/8"], proxy_protocol=True)
    proxies = Proxies.of(settings)
    assert proxies.speaks_first(PROXY)
    assert not proxies.speaks_first(STRANGER)
    assert not proxies.speaks_first(None)
    assert not proxies.forwards(PROXY)
    assert BOTH.forwards(PROXY)
    assert not BOTH.forwards(STRANGER)
