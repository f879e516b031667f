"""`parvis loadtest` as a program: what cannot be run is one plain sentence and an exit code."""

import json
from pathlib import Path

import pytest
import trio

from parvis.loadtest.command import EXITS
from tests.support.honest_gateway import HonestGateway, Peer
from tests.support.parvis_program import Ended, parvis_up, run_parvis
from tests.support.tiny_scenario import tiny_scenario
from wire.client_messages import Hello
from wire.codes import CloseCode


def _refused(ended: Ended, code: int) -> str:
    """Its one sentence."""
    assert ended.code == code, ended
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.err
    return ended.err


async def test_bad_input_is_one_sentence_and_its_code(tmp_path: Path) -> None:
    tiny = tiny_scenario(tmp_path)
    (tmp_path / "wrong.py").write_text("def talk(:\n")
    nobody = ("-f", tiny, "--headless", "--host", "ws://127.0.0.1:1")
    for words, sentence, code in (
        ((), "name a scenario with -f", 2),
        (("-f", str(tmp_path / "wrong.py")), "wrong.py, line 1: ", 2),
        (("-f", tiny, "--tags", "loud"), "tiny has no tag 'loud'", 2),
        (("-f", tiny, "--headless", "--json", f"{tiny}/x.json"), "name another place", 2),
        (("-f", tiny, "--headless", "--host", "ws://127.0.0.1:99999"), "is no address of a gateway: write it as", 2),
        (nobody, "ws://127.0.0.1:1 does not welcome us", 4),
        ((*nobody, "-u", "40000000"), "raise the limit (ulimit -n", 2),
        ((*nobody, "-u", "90000", "--processes", "90"), "name 4 or more, as in --source-ips", 2),
        ((*nobody, "--source-ips", "192.0.2.7"), "this machine has no address 192.0.2.7", 2),
        ((*nobody, "--fail-if", "loss"), '"loss" is no threshold', 2),
    ):
        told = _refused(await run_parvis("loadtest", *words), code)
        assert told.startswith("parvis loadtest: ")
        assert sentence in told


async def test_a_target_that_refuses_everybody_is_told_of_before_a_run(tmp_path: Path, nursery: trio.Nursery) -> None:
    gateway = HonestGateway(nursery)

    def refuse(peer: Peer, _hello: object) -> bool:
        nursery.start_soon(peer.websocket.aclose, CloseCode.FORBIDDEN, "not you")
        return True

    gateway.on[Hello] = refuse
    host = await gateway.listen()
    told = _refused(await run_parvis("loadtest", "-f", tiny_scenario(tmp_path), "--headless", "--host", host), 4)
    assert f"{host} does not welcome us (not you, code 3507)" in told


async def test_an_unknown_flag_is_told_with_the_one_that_was_meant() -> None:
    ended = await run_parvis("loadtest", "--usres", "3")
    assert ended.code == 2
    assert "Unknown option: --usres. Did you mean --users?" in ended.err + ended.out


async def test_a_list_of_classes_and_of_what_they_do(tmp_path: Path) -> None:
    tiny = tiny_scenario(tmp_path)
    listed = await run_parvis("loadtest", "-f", tiny, "--list")
    assert (listed.code, listed.out.split()[:2]) == (0, ["Listener", "reader,"])
    ratios = await run_parvis("loadtest", "-f", tiny, "--show-task-ratio")
    assert (ratios.code, ratios.out.split()[:2]) == (0, ["75.0%", "Listener"])
    assert (await run_parvis("loadtest", "--list")).code == 0


async def test_the_help_tells_every_exit_code() -> None:
    told = " ".join((await run_parvis("loadtest", "--help")).out.split())
    assert all(f"{code.value}: {meaning}" in told for code, meaning in EXITS.items())
    assert "parvis loadtest has codes of its own" in " ".join((await run_parvis("--help")).out.split())


@pytest.mark.timeout(180)
async def test_a_run_against_a_real_gateway_passes_fails_and_is_compared(tmp_path: Path) -> None:
    tiny, before, after = tiny_scenario(tmp_path), str(tmp_path / "before.json"), str(tmp_path / "after.json")
    async with parvis_up(tmp_path / "data") as up:
        common = ("-f", tiny, "-u", "8", "-r", "50", "-t", "3", "--headless", "--host", up.websocket_urls[0])
        passed = await run_parvis("loadtest", *common, "--json", before, "--fail-if", "loss>0", "--seed", "4")
        assert passed.code == 0, passed
        assert "PASS" in passed.out
        missed = await run_parvis("loadtest", *common, "--json", after, "--fail-if", "deliver_p50>1us", "deliveries<1")
        assert missed.code == 1, missed
        assert "deliver_p50>1us" in missed.out
    record = json.loads(Path(before).read_text())
    assert (record["scenario"], record["seed"], record["verdict"]["word"]) == ("tiny", 4, "PASS")
    assert record["counts"]["connects"] == 8
    assert record["counts"]["acked"] == record["counts"]["publishes"] > 3
    assert {row["name"] for row in record["rows"]} >= {"connect", "publish", "deliver"}
    assert record["counts"]["audited"] > 0
    # Its processes were found and looked at without being named.
    assert any(moment["server"] for moment in record["moments"])
    compared = await run_parvis("loadtest", "compare", before, after, "--json")
    assert compared.code in (0, 1)
    assert json.loads(compared.out)
    assert (await run_parvis("loadtest", "compare", before, str(tmp_path / "nowhere"))).code == 2
