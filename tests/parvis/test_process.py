"""parvis/process.py: log, admin port and figures of one process."""

import json

import pytest
import trio

import parvis.process
from parvis.process import make_host, start_admin
from runtime.lifecycle import Lifecycle
from runtime.schema import LogSettings, Settings
from tests.support.http import fetch


@pytest.fixture
async def lifecycle() -> Lifecycle:
    return Lifecycle()


@pytest.fixture
async def port(nursery: trio.Nursery, lifecycle: Lifecycle) -> int:
    host = make_host(Settings(log=LogSettings(level="error")), lifecycle, node="gateway-1")
    return (await start_admin(nursery, host, "127.0.0.1", 0, lambda: ["the moon is full"])).port


async def test_readiness_names_every_reason(port: int, lifecycle: Lifecycle) -> None:
    async def reasons() -> list[str]:
        return list(json.loads((await fetch(port, "/readyz")).body)["reasons"])

    assert await reasons() == ["starting", "the moon is full"]
    lifecycle.started()
    assert await reasons() == ["the moon is full"]
    lifecycle.start_drain("SIGTERM")
    assert await reasons() == ["draining: SIGTERM", "the moon is full"]


async def test_the_figures_of_the_process_are_shown(port: int) -> None:
    metrics = (await fetch(port, "/metrics")).body.decode()
    for name in ("parvis_build_info{", "parvis_draining 0.0", "parvis_fds_open", "parvis_resident_memory_bytes"):
        assert name in metrics, name


async def test_a_process_takes_no_more_clients_than_its_descriptors_allow_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parvis.process, "raise_descriptor_limit", lambda: 1024)
    settings = Settings(log=LogSettings(form="json"))
    host = make_host(settings, Lifecycle(), node="gateway-1")
    assert host.settings.gateway.connections_max == 721
    assert '"connections_bounded_by_descriptors"' in capsys.readouterr().err
    assert make_host(settings, Lifecycle(), has_clients=False).settings is settings
    monkeypatch.setattr(parvis.process, "raise_descriptor_limit", lambda: 100_000)
    assert make_host(settings, Lifecycle()).settings is settings
    assert '"connections_bounded", "connections_max": 15000' in capsys.readouterr().err
