"""parvis/supervised.py: what a role says to whoever started it, and what it does without it."""

import json
import os

import pytest
import trio
import trio.testing

import parvis.supervised
from parvis.parts import Host
from parvis.supervised import around_role, say_ready
from runtime.lifecycle import Lifecycle
from runtime.schema import Settings
from tests.support.cluster import quiet_log
from tests.support.http import fetch


async def test_its_admin_port_answers_before_it_serves_and_says_when_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    host = Host(Settings(), Lifecycle(), quiet_log())
    async with around_role(host, "127.0.0.1", 0, False, lambda: ["the moon is full"]) as admin:
        reasons = json.loads((await fetch(admin.port, "/readyz")).body)["reasons"]
        assert reasons == ["starting", "the moon is full"]
        say_ready(host, 4000, admin.port, supervised=False)
        assert json.loads((await fetch(admin.port, "/readyz")).body)["reasons"] == ["the moon is full"]
    assert capsys.readouterr().out == "", "nobody reads it"


async def test_a_supervised_one_says_its_ports_and_drains_when_its_parent_is_gone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = os.pipe()
    host = Host(Settings(), Lifecycle(), quiet_log())
    with open(here, "rb", buffering=0, closefd=False) as standard_input, trio.fail_after(10):
        monkeypatch.setattr(parvis.supervised.sys, "stdin", standard_input)
        async with around_role(host, "127.0.0.1", 0, True):
            say_ready(host, 4000, 5000, supervised=True)
            assert capsys.readouterr().out == "ready 4000 5000\n"
            assert not host.lifecycle.is_draining
            os.close(there)
            await host.lifecycle.wait_drain()
    assert host.lifecycle.drain_reason == "the process that started this one asks for it, or is gone"
