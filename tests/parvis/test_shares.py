"""Bounds of one worker, and what descriptors allow."""

from hypothesis import given
from hypothesis import strategies as st

from parvis.shares import DESCRIPTORS_BESIDE_CLIENTS, admission_share_of, share_of, within_descriptors
from runtime.schema import AdmissionSettings, GatewaySettings
from runtime.settings import load_settings


@given(st.integers(1, 64))
def test_the_shares_of_all_workers_are_no_more_than_the_gateway_has(workers: int) -> None:
    gateway = GatewaySettings()
    share = share_of(gateway, workers)
    for key in ("connections_max", "connections_soft_max", "handshakes_pending_max", "accepts_per_s"):
        of_one = share[f"gateway.{key}"]
        assert isinstance(of_one, int | float)
        assert 0 < of_one * workers <= getattr(gateway, key) * (1 + 1e-9)


@given(st.integers(1, 40_000), st.integers(1, 20_000), st.integers(300, 100_000))
def test_connections_and_handshakes_fit_into_the_descriptors(connections: int, pending: int, descriptors: int) -> None:
    asked = GatewaySettings(connections_max=connections, connections_soft_max=connections, handshakes_pending_max=pending)
    given_ = within_descriptors(asked, descriptors)
    held = given_.connections_max + given_.handshakes_pending_max
    assert held <= descriptors - DESCRIPTORS_BESIDE_CLIENTS
    assert 1 <= given_.connections_soft_max <= given_.connections_max <= connections
    assert 1 <= given_.handshakes_pending_max <= pending


def test_what_fits_is_left_as_it_was_asked_for() -> None:
    asked = GatewaySettings()
    assert within_descriptors(asked, 20_000) is asked


def test_a_shell_with_1024_descriptors_gets_a_small_gateway_and_no_broken_one() -> None:
    given_ = within_descriptors(GatewaySettings(), 1024)
    assert (given_.connections_max, given_.connections_soft_max, given_.handshakes_pending_max) == (721, 672, 103)
    assert within_descriptors(GatewaySettings(), 10).connections_max == 1


@given(st.integers(1, 64))
def test_a_workers_limits_are_more_than_an_even_share_and_no_more_than_the_whole(workers: int) -> None:
    admission = AdmissionSettings()
    for key, of_one in admission_share_of(admission, workers).items():
        whole = getattr(admission, key.removeprefix("admission."))
        assert isinstance(of_one, int | float)
        assert whole / workers <= of_one <= whole
        assert type(of_one) is type(whole)


def test_one_worker_has_the_whole_and_a_person_with_some_tabs_is_within_the_share_of_one() -> None:
    admission = AdmissionSettings()
    alone = admission_share_of(admission, 1)
    assert alone["admission.user_connections_max"] == admission.user_connections_max
    assert admission_share_of(admission, 8)["admission.user_connections_max"] == 8


def test_a_share_is_a_setting_that_holds() -> None:
    words = {key: str(value) for key, value in admission_share_of(AdmissionSettings(), 256).items()}
    loaded = load_settings(flags=words)
    assert loaded.settings.admission.address_rate_factor >= 1
