"""`parvis backup` and `parvis restore`: a journal as one file, and a journal out of it."""

import secrets
import time
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from broker.epoch import EPOCH_BYTES, epoch_of
from broker.journal.archive import Extent, RoomReading, Source, Unfinished
from broker.journal.backup_source import BackupSource, Verified, verify_backup
from broker.journal.backup_writer import write_backup
from broker.journal.fill import fill, prepare
from broker.record import SALT_BYTES
from broker.restored import RestoredRoom
from parvis import VERSION
from parvis.counted import counted
from parvis.errors import StartError
from parvis.options import Config, DataDir, Sets, read_settings
from parvis.places import held, place_of_settings
from parvis.transfer import interruptible, meter
from runtime.lifecycle import ExitCode

File = Annotated[Path, Parameter(name="FILE")]


def backup(
    file: File,
    /,
    *,
    verify: Annotated[bool, Parameter(name="--verify", negative=())] = False,
    data_dir: DataDir = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006  # cyclopts reads the default; nobody writes to it
) -> ExitCode:
    """Run `parvis backup`; the words of parvis/command.py say what it is to a person.

    Parameters
    ----------
    file
        The file to be made. One that is there is not overwritten.
    verify
        Read FILE instead, check every room and the whole, and write nothing.
    """
    if verify:
        with interruptible("nothing was written"):
            print(_told(file, _verified(file)))
        return ExitCode.OK
    settings = read_settings(config, sets, data_dir=data_dir).settings
    place = place_of_settings(settings)
    with (
        interruptible("nothing is left of the backup"),
        closing(place.source()) as source,
        meter(f"backing up {place}", source.extent()) as show,
    ):
        try:
            tally = write_backup(file, source, now_ms=_now_ms(), program=VERSION, on_progress=show)
        except FileExistsError as error:
            raise StartError(f"{file} is there already, and is not overwritten", ExitCode.DATA) from error
    size = file.stat().st_size
    what = f"{counted(tally.rooms, 'room')}, {counted(tally.events, 'event')}"
    print(f"backed up {what} in {show.seconds():,.1f} s to {file}: {size:,} bytes")
    return ExitCode.OK


def restore(
    file: File,
    /,
    *,
    anew: Annotated[bool, Parameter(name="--anew", negative=())] = False,
    data_dir: DataDir = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006  # cyclopts reads the default; nobody writes to it
) -> ExitCode:
    """Run `parvis restore`; the words of parvis/command.py say what it is to a person.

    Parameters
    ----------
    file
        What `parvis backup` made.
    anew
        Throw away what an unfinished restore or copy from elsewhere has put into the journal.
    """
    settings = read_settings(config, sets, data_dir=data_dir).settings
    place = place_of_settings(settings)
    place.refuse_in_use()
    with interruptible("repeat the same command, and it goes on from here"):
        found = _verified(file)
        print(_told(file, found))
        with (
            held([], new=place.data_dir),
            closing(BackupSource(file)) as source,
            closing(place.target()) as target,
            meter(f"restoring {place}", Extent(found.rooms, found.events)) as show,
        ):
            prepare(target, Unfinished("restore", found.digest.hex(), ""), anew)
            tally = fill(target, _restored(source), show)
            if source.digest != found.digest:
                raise StartError(f"{file} was changed while it was restored; put the file back, and repeat", ExitCode.DATA)
            target.finish(secrets.token_hex(8), source.standing())
    there = f", {tally.rooms_there:,} were there" if tally.rooms_there else ""
    what = f"{counted(tally.rooms, 'room')}{there}, {counted(tally.events, 'event')}"
    print(f"restored {what} in {show.seconds():,.1f} s to {place}")
    print("each room goes on in a new epoch: whoever comes back with a position of before is told so, and reads on")
    return ExitCode.OK


def _restored(source: Source) -> Generator[RoomReading, None, None]:
    with closing(source.rooms()) as rooms:
        for room in rooms:
            yield RestoredRoom(room, epoch_of(secrets.token_bytes(EPOCH_BYTES)), _now_ms(), secrets.token_bytes(SALT_BYTES))


def _verified(file: Path) -> Verified:
    with meter(f"verifying {file}", Extent()) as show:
        return verify_backup(file, show)


def _told(file: Path, found: Verified) -> str:
    made = datetime.fromtimestamp(found.opening.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"{file} is whole and every chain holds: {counted(found.rooms, 'room')}, {counted(found.events, 'event')}, "
        f"backed up at {made} by parvis {found.opening.program}"
    )


def _now_ms() -> int:
    return int(time.time() * 1000)
