"""`parvis check` of a directory in Redis: whether it is there, whether it is ours, and who is in it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from parvis.counted import counted
from parvis.data_dir import LINK_SECRET_NAME, read_keys
from parvis.directory_store import open_store
from parvis.errors import StartError
from parvis.finding import Finding
from parvis.reports import EVERYWHERE
from runtime.lifecycle import ExitCode
from runtime.schema import Settings
from shard_router.cluster_records import View
from shard_router.joining import fingerprint
from shard_router.store_lane import UNREADABLE


def examine_cluster(settings: Settings) -> Iterator[Finding]:
    """What a node that joins would meet; writes nothing."""
    if settings.cluster.directory != "redis":
        return
    name = settings.cluster.name
    store = open_store(settings)
    try:
        view = store.look(0)
    except UNREADABLE as error:
        yield Finding("bad", f"directory of the cluster {name}: {error}", ExitCode.UNAVAILABLE)
    else:
        yield _who_is_there(name, view)
        yield from _whose_it_is(settings, view)
    finally:
        store.close()
    if settings.broker.host in EVERYWHERE and not settings.broker.advertise:
        yield Finding("note", f"broker.host {settings.broker.host}: a shard with these settings needs broker.advertise")


def _who_is_there(name: str, view: View) -> Finding:
    if not view.members and not view.map_version:
        return Finding("ok", f"directory of the cluster {name} is empty; the first shards found it")
    roles = Counter(record.role for record in view.members.values())
    told = f"slot map {view.map_version}, {counted(roles['shard'], 'shard')} and {counted(roles['gateway'], 'gateway')}"
    return Finding("ok", f"directory of the cluster {name}: {told} (parvis cluster status shows who of them lives)")


def _whose_it_is(settings: Settings, view: View) -> Iterator[Finding]:
    """Whether our link secret is this cluster's."""
    named = settings.cluster.secret_file
    path = Path(named) if named else Path(settings.data_dir) / LINK_SECRET_NAME
    if not view.fingerprint:
        return
    if not path.exists():
        yield Finding("bad", f"key file {path} is not there, and this cluster has a link secret: copy it here", ExitCode.CONFIG)
        return
    try:
        ours = {fingerprint(secret, settings.cluster.name) for secret in read_keys(path)}
    except StartError:
        # It was told with the key files.
        return
    if view.fingerprint not in ours:
        yield Finding("bad", f"the cluster {settings.cluster.name} has another link secret than {path}", ExitCode.CONFIG)
