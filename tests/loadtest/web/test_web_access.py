"""loadtest/web/web_access.py: who may look, who may steer."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.web.web_access import Access, Login, LoginError, is_loopback

TOKEN = "t0ken"
OPEN = Access(TOKEN, None)
CLOSED = Access(TOKEN, Login("ada", "correct horse"))


def basic(user_and_password: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(user_and_password.encode()).decode()}


def steering(host: str = "127.0.0.1:8089", origin: str | None = None, token: str = TOKEN) -> dict[str, str]:
    return {"host": host, "origin": f"http://{host}" if origin is None else origin, "x-parvis-token": token}


def status(access: Access, method: str, headers: dict[str, str]) -> int | None:
    refusal = access.refuse(method, headers)
    return refusal.status if refusal else None


@pytest.mark.parametrize("host", ["127.0.0.1:8089", "localhost:8089", "LOCALHOST", "[::1]:8089", "127.9.9.9"])
def test_this_machine_s_names_need_no_login(host: str) -> None:
    assert OPEN.refuse("GET", {"host": host}) is None
    assert OPEN.refuse("POST", steering(host)) is None


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1:80", "[::2]:80", "127.0.0.1.evil.example"])
def test_a_name_that_was_made_to_point_here_is_refused(host: str) -> None:
    assert status(OPEN, "GET", {"host": host}) == 403


@pytest.mark.parametrize("headers", [{}, {"host": ""}, {"host": "a b"}])
def test_a_host_that_is_none_is_refused(headers: dict[str, str]) -> None:
    assert status(OPEN, "GET", headers) == 400


def test_with_a_login_any_name_will_do() -> None:
    assert CLOSED.refuse("GET", {"host": "load.example:8089", **basic("ada:correct horse")}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("ada:wrong horse"),
        basic("eve:correct horse"),
        basic("ada"),
        {"authorization": "Basic ???"},
        {"authorization": "Basic /w=="},
        {"authorization": "Bearer " + b64encode(b"ada:correct horse").decode()},
        {"authorization": ""},
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1:8089", "load.example"])
def test_without_the_right_login_nothing_is_shown(host: str, headers: dict[str, str]) -> None:
    assert status(CLOSED, "GET", {"host": host, **headers}) == 401


@pytest.mark.parametrize(
    "headers",
    [
        steering(token="guessed"),
        steering(token=""),
        steering(origin="http://evil.example"),
        steering(origin="http://127.0.0.1:8000"),
        steering(origin="null"),
        steering(origin=""),
        steering(origin="ftp://127.0.0.1:8089"),
        {"host": "127.0.0.1:8089", "x-parvis-token": TOKEN},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_our_own_page_steers(method: str, headers: dict[str, str]) -> None:
    assert status(OPEN, method, headers) == 403


def test_a_proxy_may_end_tls_before_it() -> None:
    headers = {**steering("load.example", origin="https://load.example"), **basic("ada:correct horse")}
    assert CLOSED.refuse("POST", headers) is None


@pytest.mark.parametrize("text", ["ada", ":long enough", "", "ada:"])
def test_a_login_that_is_none_is_told_in_a_sentence(text: str) -> None:
    with pytest.raises(LoginError, match=r"user:password|at least 8 characters"):
        Login.parse(text)


def test_a_short_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(LoginError, match="at least 8 characters") as refused:
        Login.parse("ada:hunter2")
    assert "hunter2" not in str(refused.value)


def test_a_password_may_hold_colons() -> None:
    assert Login.parse("ada:pass:word:long") == Login("ada", "pass:word:long")


@given(st.text(max_size=60))
def test_any_text_is_a_host_or_not(text: str) -> None:
    assert is_loopback(text) in (True, False)


@given(st.dictionaries(st.sampled_from(["host", "origin", "authorization", "x-parvis-token"]), st.text(max_size=60)))
def test_no_headers_break_it_and_none_guess_the_token(headers: dict[str, str]) -> None:
    refusal = OPEN.refuse("POST", headers)
    assert refusal is not None or headers["x-parvis-token"] == TOKEN
