"""What the commands share: how settings are given on the command line, and how they are read.

A setting is `--set gateway.port=9000`; a file of them is `--config parvis.toml`.  A command's
own flag (`--port`) stands for settings too; `--set`, which names one exactly, wins over it.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from parvis.errors import StartError
from runtime.lifecycle import ExitCode
from runtime.settings import CONFIG_VARIABLE, Loaded, load_settings

Config = Annotated[Path | None, Parameter(name="--config", help="A TOML file of settings; PARVIS_CONFIG names one too.")]
Sets = Annotated[
    list[str],
    Parameter(
        name="--set",
        negative=(),
        show_default=False,
        help="One setting, as in --set gateway.ping_interval_s=10; may be repeated.",
    ),
]
DataDir = Annotated[Path | None, Parameter(name="--data-dir", help="Where the journal, the keys and the lock are.")]


def read_settings(
    config: Path | None, sets: Sequence[str], *, data_dir: Path | None = None, flags: Mapping[str, object] | None = None
) -> Loaded:
    """The settings of this run; raises `SettingsError` with every problem, or `StartError` for a --set that is none."""
    if config is None and os.environ.get(CONFIG_VARIABLE):
        config = Path(os.environ[CONFIG_VARIABLE])
    given: dict[str, object] = dict(flags or {})
    for each in sets:
        key, equals, value = each.partition("=")
        if not equals:
            raise StartError(f"--set takes key=value, as in --set gateway.port=9000, and was given {each!r}", ExitCode.USAGE)
        given[key.strip()] = value
    if data_dir is not None:
        given["data_dir"] = str(data_dir)
    return load_settings(file=config, environment=os.environ, flags=given)
