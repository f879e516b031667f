"""`parvis chat ROOM --as NAME`: the words of the command, and the life of its process around parvis/chat.py."""

import getpass
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from parvis.chat import DEFAULT_URL, chat
from runtime.lifecycle import ExitCode, Lifecycle, run_process
from wire.limits import HISTORY_EVENTS_MAX

_DEFAULT_ROOM = "square/main"


def chat_command(
    room: str = _DEFAULT_ROOM,
    /,
    *,
    name: Annotated[str | None, Parameter(name="--as")] = None,
    urls: Annotated[Sequence[str], Parameter(name="--url", negative=())] = (DEFAULT_URL,),
    history: Annotated[int, Parameter(validator=Number(gte=0, lte=HISTORY_EVENTS_MAX))] = 30,
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    stay: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> ExitCode:
    """Run `parvis chat`; the words of parvis/command.py say what it is to a person.

    Parameters
    ----------
    room
        Where to talk: namespace/name, in lower case.
    name
        The name to speak under; by default the name of this user.
    urls
        Where a gateway is; may be repeated, then any of them will do.
    history
        How many earlier messages to show.
    json
        Speak the JSON form of the protocol instead of msgpack.
    stay
        When the input is a pipe: go on reading the room after its end.
    """
    return run_process(partial(_run, room=room, name=name or _own_name(), urls=urls, history=history, json=json, stay=stay))


def _own_name() -> str:
    """What this user is called here; a process without a user is a guest."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "guest"


async def _run(
    lifecycle: Lifecycle, *, room: str, name: str, urls: Sequence[str], history: int, json: bool, stay: bool
) -> ExitCode:
    code = ExitCode.OK
    async with trio.open_nursery() as nursery:

        async def leave_at_signal() -> None:
            await lifecycle.wait_drain()
            nursery.cancel_scope.cancel()

        nursery.start_soon(leave_at_signal)
        code = ExitCode(await chat(room, name, urls=urls, json=json, stay=stay, history=history))
        nursery.cancel_scope.cancel()
    return code
