"""The flags of `parvis loadtest` are locust's wherever locust has one."""

import ast
import inspect
from dataclasses import fields

import pytest
from cyclopts import ValidationError

from parvis.loadtest.command import loadtest
from parvis.loadtest.flags import LoadtestFlags

# As `locust --help` of 2.47 names them; those that make no sense here (certificates, plug-ins ...) are left out.
_LOCUSTS = (
    "-f --locustfile -H --host -u --users -r --spawn-rate -t --run-time -l --list --web-host -P --web-port --headless "
    "--autostart --autoquit --master --worker --master-bind-host --master-bind-port --expect-workers --expect-workers-max-wait "
    "--master-host --master-port --processes -T --tags -E --exclude-tags --csv --html --json --json-file --show-task-ratio "
    "-s --stop-timeout"
)


def _names() -> set[str]:
    return {name for argument in loadtest.assemble_argument_collection() for name in argument.names}


@pytest.mark.parametrize("flag", _LOCUSTS.split())
def test_a_flag_of_locust_is_one_of_ours(flag: str) -> None:
    assert flag in _names()


def test_every_flag_says_what_it_is_for() -> None:
    tree = ast.parse(inspect.getsource(LoadtestFlags)).body[0]
    assert isinstance(tree, ast.ClassDef)
    for flag, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(flag, ast.AnnAssign):
            assert isinstance(after, ast.Expr), ast.unparse(flag)


def test_nothing_is_asked_for_that_has_no_default() -> None:
    assert LoadtestFlags() == LoadtestFlags(**{field.name: field.default for field in fields(LoadtestFlags)})


@pytest.mark.parametrize("rate", ["0", "-1", "inf", "nan"])
@pytest.mark.parametrize("flag", ["--spawn-rate", "--connect-rate"])
def test_a_rate_is_above_nothing_and_below_infinity(flag: str, rate: str) -> None:
    with pytest.raises(ValidationError, match="Must be"):
        loadtest.parse_args([flag, rate], exit_on_error=False, print_error=False)


def test_flags_that_take_several_take_them_at_once_or_one_by_one() -> None:
    _, bound, _ = loadtest.parse_args(["--host", "ws://a", "ws://b", "--host", "ws://c", "--fail-if", "loss>0"])
    assert bound.kwargs["flags"].hosts == ("ws://a", "ws://b", "ws://c")
    assert bound.kwargs["flags"].fail_if == ("loss>0",)
