"""`parvis journal copy`: a whole journal to another place, with its epochs and positions, while nobody works on it."""

from contextlib import closing
from typing import Annotated

from cyclopts import App, Parameter

from broker.journal.fill import copy_journal
from parvis.counted import counted
from parvis.errors import StartError
from parvis.options import Config, DataDir, Sets, read_settings
from parvis.places import held, place_of
from parvis.transfer import interruptible, meter
from runtime.lifecycle import ExitCode

journal = App(name="journal", help="Move a journal to another place.", help_format="markdown", help_epilogue="")

Anew = Annotated[bool, Parameter(name="--anew", negative=())]


@journal.command(name="copy", help_epilogue="")
def copy(
    from_: Annotated[str, Parameter(name="FROM")],
    to: Annotated[str, Parameter(name="TO")],
    /,
    *,
    anew: Anew = False,
    data_dir: DataDir = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006  # cyclopts reads the default; nobody writes to it
) -> ExitCode:
    """Copy a whole journal, every room verified: clients go on in the new one with the positions they have.

    Nobody may use FROM meanwhile: its slots are claimed, so that a shard that was forgotten can write no more.
    TO must be empty, or the unfinished copy of the same FROM: then the copy goes on where it was cut. Until it is
    finished no parvis starts on TO. FROM stays as it is.

    Parameters
    ----------
    from_
        Where the journal is: sqlite:PATH or redis://HOST:PORT/0 (any address that redis.url takes; the cluster is cluster.name);
        or sqlite or redis, where the settings say it is.
    to
        Where it shall be, in the same words.
    anew
        Throw away what an unfinished copy or restore from elsewhere has put into TO.
    """
    settings = read_settings(config, sets, data_dir=data_dir).settings
    old, new = place_of(from_, settings), place_of(to, settings)
    if old == new:
        raise StartError(f"{old} cannot be copied to itself", ExitCode.USAGE)
    for place in (old, new):
        place.refuse_in_use()
    with (
        interruptible("repeat the same command, and it goes on from here"),
        held([old.data_dir], new=new.data_dir),
        closing(old.source()) as source,
        closing(old.journal()) as opened,
        closing(new.target()) as target,
        meter(f"copying {old}", source.extent()) as show,
    ):
        tally = copy_journal(opened, source, target, anew=anew, on_progress=show)
        newest = opened.newest_map_version()
    there = f", {tally.rooms_there:,} were there" if tally.rooms_there else ""
    what = f"{counted(tally.rooms, 'room')}{there}, {counted(tally.events, 'event')}"
    print(f"copied {what} in {show.seconds():,.1f} s from {old} to {new}")
    print(f"every chain is whole; the slot map is {newest}: where cluster.map_version is set, set it to {newest} or more")
    print(f"start nothing on {old} any more, unless you go back to it")
    return ExitCode.OK
