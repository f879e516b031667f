"""`parvis check`: would this start?  Looks at everything a start needs, and changes nothing."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from broker.journal.sqlite_archive import SqliteSource
from parvis.check_cluster import examine_cluster
from parvis.check_redis import examine_redis
from parvis.data_dir import GUEST_KEY_NAME, LINK_SECRET_NAME, holder_of, read_keys
from parvis.errors import StartError, explain
from parvis.finding import Finding
from parvis.options import Config, DataDir, Sets, read_settings
from parvis.parts import journal_path
from parvis.shares import within_descriptors
from parvis.token_keys import examine_token_keys
from runtime.certificates import CertificateError, load_pair, pair_of
from runtime.lifecycle import ExitCode
from runtime.schema import Settings
from runtime.settings import DEFAULT_ORIGIN, Loaded


def check(
    *,
    show_all: Annotated[bool, Parameter(name="--all", negative=())] = False,
    data_dir: DataDir = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006  # cyclopts reads the default; nobody writes to it
) -> ExitCode:
    """Say which settings are in force and where each came from, and whether `parvis up` would start.

    Changes nothing. The exit code is what a start would end with.

    Parameters
    ----------
    show_all
        Show settings that were left at their defaults, too.
    """
    loaded = read_settings(config, sets, data_dir=data_dir)
    for line in settings_lines(loaded, show_all):
        print(line)
    findings = list(examine(loaded.settings))
    for finding in findings:
        print(f"{finding.verdict:<5}{finding.what}")
    return next((finding.code for finding in findings if finding.verdict == "bad"), ExitCode.OK)


def settings_lines(loaded: Loaded, show_all: bool) -> Iterator[str]:
    """``key = value  (origin)`` for each setting that is not a default, or for all."""
    rows = [(key, value, origin) for key, value, origin in loaded.rows() if show_all or origin != DEFAULT_ORIGIN]
    width = max((len(key) for key, _, _ in rows), default=0)
    for key, value, origin in rows:
        yield f"     {key:<{width}} = {value!r}  ({origin})"
    if not rows:
        yield "     all settings are defaults (--all shows them)"


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything that a start needs, in the order in which it needs it."""
    directory = Path(settings.data_dir)
    holder = holder_of(directory)
    yield from _examine_directory(directory, holder)
    if directory.is_dir():
        yield from _examine_keys(settings, directory)
    yield from examine_token_keys(settings.tokens)
    yield from _examine_journal(settings, directory)
    yield from examine_cluster(settings)
    yield from _examine_certificate(settings)
    yield from _examine_ports(settings, holder)
    yield _examine_descriptors(settings)


def _examine_descriptors(settings: Settings) -> Finding:
    """A start raises the soft limit itself: the hard one counts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    asked, allowed = settings.gateway.connections_max, within_descriptors(settings.gateway, hard).connections_max
    if allowed < asked:
        sentence = f"a limit of {hard} file descriptors holds gateway.connections_max {asked} to {allowed} a process"
        return Finding("note", f"{sentence}; raise it (ulimit -Hn, LimitNOFILE=) or use parvis gateway --workers")
    return Finding("ok", f"a limit of {hard} file descriptors is enough for gateway.connections_max {asked}")


def _examine_directory(directory: Path, holder: str | None) -> Iterator[Finding]:
    if holder is not None:
        yield Finding("bad", f"data directory {directory} is in use by the parvis with process id {holder}", ExitCode.BUSY)
    elif not directory.exists():
        yield Finding("ok", f"data directory {directory} is not there yet; the first start makes it")
    elif not directory.is_dir():
        yield Finding("bad", f"data directory {directory} is a file", ExitCode.DATA)
    elif not os.access(directory, os.W_OK | os.X_OK):
        yield Finding("bad", f"data directory {directory} cannot be written by this user", ExitCode.DATA)
    elif directory.stat().st_mode & 0o077:
        yield Finding("note", f"data directory {directory} is open to others; chmod 700 {directory}")
    else:
        yield Finding("ok", f"data directory {directory}")


def _examine_keys(settings: Settings, directory: Path) -> Iterator[Finding]:
    named = settings.cluster.secret_file
    for path in (Path(named) if named else directory / LINK_SECRET_NAME, directory / GUEST_KEY_NAME):
        if not path.exists():
            yield Finding("ok", f"key file {path} is not there yet; the first start makes it")
            continue
        try:
            read_keys(path)
        except StartError as error:
            yield Finding("bad", str(error), error.code)
            continue
        if path.stat().st_mode & 0o077:
            yield Finding("note", f"key file {path} can be read by others; chmod 600 {path}")
        else:
            yield Finding("ok", f"key file {path}")


def _examine_certificate(settings: Settings) -> Iterator[Finding]:
    files = pair_of(settings.gateway)
    if files is None:
        return
    try:
        pair = load_pair(files)
    except CertificateError as error:
        yield Finding("bad", str(error), ExitCode.CONFIG)
        return
    doubt = pair.doubt(time.time())
    days = int((pair.valid_until - time.time()) / 86_400)
    state = f"is {doubt}, and clients will refuse it" if doubt else f"is valid for {days} days more"
    yield Finding("note" if doubt else "ok", f"certificate {files.certificate} for {', '.join(pair.names) or 'no name'} {state}")


def _examine_journal(settings: Settings, directory: Path) -> Iterator[Finding]:
    path = journal_path(settings)
    if settings.journal.kind == "redis":
        yield from examine_redis(settings)
    elif not directory.is_dir():
        return
    elif settings.journal.kind == "memory":
        yield Finding("note", "journal in memory: what is said ends with the process")
    elif not path.exists():
        yield Finding("ok", f"journal {path} is not there yet; the first start makes it")
    else:
        try:
            # As a reader: a start brings a file of an older format to this one, a look at it does not.
            with closing(SqliteSource(path)) as source:
                newest = source.standing().map_version
        except Exception as error:
            told = explain(error)
            if told is None:
                raise
            yield Finding("bad", str(told), told.code)
        else:
            yield Finding("ok", f"journal {path} opens; slot map {newest}")


def _examine_ports(settings: Settings, holder: str | None) -> Iterator[Finding]:
    wanted = [
        ("api.port", settings.api.host, settings.api.port),
        ("gateway.port", settings.gateway.host, settings.gateway.port),
        ("gateway.admin_port", settings.gateway.admin_host, settings.gateway.admin_port),
    ]
    for key, host, port in wanted:
        if port == 0:
            continue
        problem = _why_not_free(host, port)
        if problem is None:
            yield Finding("ok", f"{key} {host}:{port} is free")
        elif holder is not None:
            yield Finding("note", f"{key} {host}:{port} is taken, perhaps by that process")
        else:
            yield Finding("bad", f"{key} {host}:{port}: {problem}", ExitCode.UNAVAILABLE)


def _why_not_free(host: str, port: int) -> str | None:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, proto) as sock:
            # As a listener of ours does: what a connection of the last run left behind is no hindrance.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None
