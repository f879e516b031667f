"""parvis/origins.py: the page's own addresses, and no others."""

import pytest

from parvis.origins import origin_of, page_origins


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_local_page_is_allowed_under_each_name_of_this_machine(host: str) -> None:
    assert page_origins(host, 8000, ["10.0.0.5"]) == ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_a_page_on_all_addresses_is_allowed_under_each_of_them(host: str) -> None:
    assert page_origins(host, 80, ["10.0.0.5", "127.0.0.1"]) == ["http://127.0.0.1", "http://localhost", "http://10.0.0.5"]


def test_a_page_on_one_address_is_allowed_under_it_alone() -> None:
    assert page_origins("Chat.Example.org", 8000, ["10.0.0.5"]) == ["http://chat.example.org:8000"]


def test_an_origin_is_written_as_browsers_write_it() -> None:
    assert origin_of("fd00::1", 8000) == "http://[fd00::1]:8000"
    assert origin_of("example.org", 80) == "http://example.org"
