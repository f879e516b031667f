"""parvis/command.py: the command line as a person meets it, each in a process of its own."""

import importlib

import pytest

from parvis import VERSION
from parvis.command import EXIT_CODES, WORDS
from runtime.lifecycle import ExitCode
from tests.support.parvis_program import run_parvis
from wire.node_messages import LINK_VERSION


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
async def test_help_lists_every_word_and_every_exit_code(arguments: tuple[str, ...]) -> None:
    ended = await run_parvis(*arguments)
    assert ended.code == 0
    for word in WORDS:
        assert f" {word} " in ended.out
    for code in ExitCode:
        assert f" {code.value}: " in ended.out


@pytest.mark.parametrize("word", WORDS)
async def test_every_word_explains_itself(word: str) -> None:
    ended = await run_parvis(word, "--help")
    assert ended.code == 0
    assert f"Usage: parvis {word}" in ended.out
    assert "Run `parvis" not in ended.out


async def test_the_version_is_told_in_two_ways() -> None:
    assert (await run_parvis("--version")).out == f"{VERSION}\n"
    assert f"parvis {VERSION} (client protocol 1, link protocol {LINK_VERSION})" in (await run_parvis("version")).out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nope",), "nope"),
        (("up", "--gateways", "0"), "--gateways"),
        (("up", "--gateways", "x"), "--gateways"),
        (("up", "--shards", "65"), "--shards"),
        (("up", "--port", "70000"), "--port"),
        (("up", "--prot", "1"), "--prot"),
        (("up", "extra"), "extra"),
        (("up", "--set", "gateway.port"), "--set takes key=value"),
    ],
)
async def test_what_cannot_be_understood_is_a_sentence_and_code_2(arguments: tuple[str, ...], sentence: str) -> None:
    ended = await run_parvis(*arguments)
    assert ended.code == ExitCode.USAGE
    assert sentence in ended.err
    assert "Traceback" not in ended.err


async def test_a_setting_that_is_wrong_is_code_78_and_every_problem_is_named() -> None:
    ended = await run_parvis("up", "--set", "gateway.prot=1", "--set", "api.port=many")
    assert ended.code == ExitCode.CONFIG
    assert "did you mean gateway.port?" in ended.err
    assert "api.port" in ended.err
    assert "Traceback" not in ended.err


def test_every_word_names_a_function_that_exists() -> None:
    for target, _ in WORDS.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_every_exit_code_has_a_meaning() -> None:
    assert set(EXIT_CODES) == set(ExitCode)
