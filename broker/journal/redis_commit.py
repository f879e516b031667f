"""One group of writes into Redis: a script call for each room, and what its reply means."""

from collections.abc import Sequence
from typing import Final

from broker.journal.codec import decode_entry, encode_entry, encode_id, erased
from broker.journal.protocol import CommitOutcome, CommitVerdict, Unavailable, Write
from broker.journal.redis_calls import Call, Lost, call_of, run_calls
from broker.journal.redis_keys import Keys, head_name, parse_head, row_name, snapshot_value
from broker.journal.redis_scripts import COMMIT, COMMIT_TABLES
from broker.journal.verdict import COMMITTED, FENCED, check_shape, outcome_of
from runtime.redis_client import RedisClient, Script
from runtime.redis_connection import Reply, ReplyError

UNKNOWN: Final = CommitOutcome(CommitVerdict.UNKNOWN)


def commit_group(
    client: RedisClient, keys: Keys, writes: Sequence[Write], deadline_s: float, replicas: int
) -> list[CommitOutcome]:
    """Store those writes that may be stored.  Raises `Unavailable` when no outcome of the group is known."""
    assert len({write.room for write in writes}) == len(writes), "at most one write per room in a group"
    for write in writes:
        check_shape(write)
    calls = [_call(client, keys, write) for write in writes]
    replies = run_calls(client, calls, deadline_s, replicas)
    outcomes = [_outcome(write, reply) for write, reply in zip(writes, replies, strict=True)]
    if outcomes and all(outcome is UNKNOWN for outcome in outcomes):
        lost = [reply for reply in replies if isinstance(reply, Lost)]
        raise Unavailable(lost[0].sentence, nothing_done=not any(reply.maybe_done for reply in lost))
    return outcomes


def _call(client: RedisClient, keys: Keys, write: Write) -> Call:
    script, named, arguments = parts_of(client, keys, write)
    return call_of(script, named, *arguments)


def parts_of(client: RedisClient, keys: Keys, write: Write) -> tuple[Script, tuple[str, ...], list[bytes | str | int]]:
    """The script of one write, its keys and arguments as that takes them; asks for what is to be erased."""
    entries, slot, room, head = write.entries, write.slot, write.room, write.head
    tombstones: list[bytes | int] = []
    if write.erasures:
        entries = erased(entries, write.erasures)
        tombstones = _tombstones(client, keys, write)
    arguments: list[bytes | str | int] = [
        write.term, head_name(write.base), head_name(head), head.at, int(write.new_epoch), len(entries), len(write.ids),
        write.rows_base,
    ]  # fmt: skip
    has_tables = bool(write.rows) or write.snapshot is not None or write.new_epoch
    if has_tables:
        snapshot = b"" if write.snapshot is None else snapshot_value(head.epoch, write.snapshot)
        arguments += (write.rows_seq, len(write.rows), snapshot)
    for entry in entries:
        arguments += (entry.offset, encode_entry(entry))
    arguments += [encode_id(row) for row in write.ids]
    for table_row in write.rows:
        value = table_row.value
        arguments += (row_name(table_row.table, table_row.key), b"" if value is None else b"\0" + value)
    arguments += tombstones
    named = (
        keys.slot(slot), keys.room(slot, room), keys.log(slot, room, head.epoch), keys.ids(slot, room), keys.ends(slot, room),
    )  # fmt: skip
    if has_tables:
        return COMMIT_TABLES, (*named, keys.rows(slot, room), keys.snapshot(slot, room)), arguments
    return COMMIT, named, arguments


def _tombstones(client: RedisClient, keys: Keys, write: Write) -> list[bytes | int]:
    """Offset and tombstone of each older entry that is erased.

    Read beforehand, since a script cannot write our msgpack.  Nobody else may write between
    this and the script: who did would hold a newer term, and the script is fenced.
    """
    first_new = write.entries[0].offset if write.entries else write.head.offset + 1
    # The first reason stays, here as well.
    older = {erasure.offset: erasure for erasure in reversed(write.erasures) if 0 < erasure.offset < first_new}
    if not older:
        return []
    log = keys.log(write.slot, write.room, write.head.epoch)
    replies = client.pipeline(log, [("HGET", log, offset) for offset in older])
    tombstones: list[bytes | int] = []
    for erasure, reply in zip(older.values(), replies, strict=True):
        if isinstance(reply, ReplyError):
            raise reply
        if reply is not None:
            before = decode_entry(reply)
            if not before.removed:
                tombstones += (erasure.offset, encode_entry(before.erased(erasure.reason)))
    return tombstones


def _outcome(write: Write, reply: Reply | Lost) -> CommitOutcome:
    if reply == 1:
        return COMMITTED
    if reply == 0:
        return FENCED
    if isinstance(reply, Lost):
        return UNKNOWN
    name, at, rows_seq = reply
    outcome = outcome_of(write, write.term, parse_head(name, int(at)), int(rows_seq))
    assert outcome is not COMMITTED, "the script and `verdict` agree on what a head is, and a sequence"
    return outcome
