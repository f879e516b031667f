"""The one command: a table from word to module, and the exit code of what was said.

Modules are loaded when their word is used, so `parvis version` does not wait for a server.
"""

import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from cyclopts import App, CycloptsError

from parvis import VERSION
from runtime.lifecycle import ExitCode

# Each code that a parvis process ends with; docs/quickstart.md has the same table.
EXIT_CODES: Final = {
    ExitCode.OK: "done, or drained and ended in order",
    ExitCode.BUG: "a bug of ours, with its traceback on standard error; or a server refused what parvis chat or revoke asked",
    ExitCode.USAGE: "the command line cannot be understood",
    ExitCode.DATA: "the data directory, the journal or a backup is damaged, not ours, newer, not empty, or cannot be written",
    ExitCode.UNAVAILABLE: "something that is needed is not there: an address is taken, a store or a server is out of reach",
    ExitCode.BUSY: "another process uses the data directory, or the node's name in its cluster",
    ExitCode.CONFIG: "a setting is wrong; every problem is named",
    ExitCode.INTERRUPTED: "a second Ctrl-C ended it at once",
    ExitCode.TERMINATED: "a second SIGTERM ended it at once",
}

WORDS: Final = {
    "up": (
        "parvis.up:up",
        "Start everything on this machine: the page, gateways, shards, a journal on disk.\n\n"
        "Ctrl-C or SIGTERM ends it in order. What was acknowledged is kept, and the next start goes on from there, "
        "with any number of gateways and shards.",
    ),
    "chat": (
        "parvis.chat_command:chat_command",
        "Talk in a room from a terminal, or say the lines of a pipe.\n\n"
        "/help lists what can be typed besides lines to say. Ctrl-C or /quit leaves. With input from a pipe every line is said, "
        "in order, and the exit code is 1 if one was refused.",
    ),
    "revoke": (
        "parvis.revoke_command:revoke",
        "Take back what somebody, one session or everybody was given, at every gateway within a second.\n\n"
        "Connections concerned are closed, and tokens concerned are refused. It is no ban: whoever is given a newer token comes "
        "in with it, so the site has to stop issuing first.",
    ),
    "gateway": ("parvis.roles:gateway", "Run one gateway of a cluster."),
    "broker": ("parvis.roles:broker", "Run one shard of a cluster."),
    "cluster": (
        "parvis.cluster:cluster",
        "Look at a cluster whose directory is in Redis, and change who owns what.\n\n"
        "Each word but status changes the cluster's plan and then shows how slots move. Ctrl-C ends the showing, not the plan; "
        "repeating a word does no harm. It needs redis.url and cluster.directory = redis, and nothing else running here.",
    ),
    "check": ("parvis.check:check", "Say whether it would start, and which settings are in force."),
    "journal": ("parvis.journal_command:journal", "Copy a whole journal to another place; clients go on there."),
    "backup": (
        "parvis.backup_command:backup",
        "Write the journal into one file, also while parvis runs on it.\n\n"
        "Each room is whole, as it was at one moment between begin and end of the backup: what was acknowledged before the "
        "begin is in it. Every event and every chain is verified. The file holds what people wrote: it is readable by its "
        "owner only, and a restore needs guest.key beside it if people shall stay who they are.",
    ),
    "restore": (
        "parvis.backup_command:restore",
        "Make a journal out of a backup.\n\n"
        "The journal must be empty, or the unfinished restore of the same file. The whole file is verified before anything "
        "is written. Each room keeps its history and goes on in a new epoch, since what was said after the backup is gone "
        "and may have been read.",
    ),
    "loadtest": (
        "parvis.loadtest.command:loadtest",
        "Load a server with people who read and speak, and judge what reached them.",
    ),
    "version": ("parvis.version:version", "Say which parvis this is."),
}
# Words that are followed by another one.
WITH_WORDS: Final = {"cluster", "journal", "loadtest"}

app = App(
    name="parvis",
    help="A realtime message broker for public mass chat: gateways, shards, and a page to talk.",
    help_epilogue="Exit codes:\n\n" + "\n".join(f"* {code.value}: {meaning}" for code, meaning in EXIT_CODES.items())
    + "\n\nparvis loadtest has codes of its own: its help names them.",
    version=VERSION,
    help_format="markdown",
)
for place, (word, (target, text)) in enumerate(WORDS.items()):
    # cyclopts takes an app as it is: one with words of its own says in its module that it has no epilogue.
    own = {} if word in WITH_WORDS else {"help_epilogue": ""}
    app.command(target, name=word, help=text, sort_key=place, **own)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Carry out one command line and exit with its code."""
    try:
        code = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        # cyclopts has said what is wrong.
        code = ExitCode.USAGE
    except KeyboardInterrupt:
        # Before an event loop hears signals: nothing was begun.
        code = ExitCode.INTERRUPTED
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # the edge of the process: what is not known is raised again
        code = tell_known(error)
    sys.exit(int(code or 0))


def tell_known(error: BaseException) -> ExitCode:
    """One sentence for an error of the world; a bug is raised again."""
    # Here, not above: it brings the journal's errors with it, and most words need none.
    from parvis.errors import explain, tell

    told = explain(error)
    if told is None:
        raise error
    return tell(told)
