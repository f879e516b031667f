"""The record: its chain holds what was written, breaks at any change, and outlives an erasure."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.record import CHAIN_BYTES, CHAIN_START, DIGEST_BYTES, SALT_BYTES, Entry, chain_after, digest_of
from wire.names import Epoch

OFFSETS, TIMES = st.integers(0, 2**63), st.integers(0, 2**63)
SALTS = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES)
CONTENTS = st.lists(st.tuples(SALTS, st.text(max_size=8), st.text(max_size=8), st.binary(max_size=30)), min_size=1, max_size=8)


def log_of(contents: list[tuple[bytes, str, str, bytes]], epoch: Epoch) -> tuple[list[Entry], bytes]:
    """The entries of a log, and the chain at its head."""
    entries, chain = [], CHAIN_START
    for offset, (salt, author, message_id, body) in enumerate(contents, 1):
        digest = digest_of(salt, author, message_id, body)
        entries.append(Entry(offset, 1000 + offset, "message", digest, salt, author, message_id, body))
        chain = chain_after(chain, epoch, offset, 1000 + offset, "message", digest)
    return entries, chain


def holds(entries: list[Entry], epoch: Epoch, head: bytes) -> bool:
    """What anyone who holds a head can find out: that these entries, and no others, lead to it."""
    chain = CHAIN_START
    for entry in entries:
        if not entry.removed and entry.digest != digest_of(entry.salt, entry.author, entry.id, entry.body):
            return False
        chain = chain_after(chain, epoch, entry.offset, entry.at, entry.kind, entry.digest)
    return chain == head


# --- golden vectors: a change here breaks every stored record --------------------------------------


@pytest.mark.parametrize(
    ("content", "digest"),
    [
        ((bytes(16), "", "", b""), "d49d5eef104230b6ab591a57f957cc47"),
        ((bytes(range(16)), "guest-1", "m-1", "Grüße".encode()), "ddd7ae1511891aa06f600aa776c4f752"),
    ],
)
def test_digests_never_change(content: tuple[bytes, str, str, bytes], digest: str) -> None:
    assert digest_of(*content).hex() == digest


@pytest.mark.parametrize(
    ("link", "chain"),
    [
        ((CHAIN_START, Epoch("e"), 1, 0, "message", bytes(16)), "96bd741e05fc9fbe872e43ece65cbb55"),
        (
            (bytes(range(16)), Epoch("0123456789abcdef"), 7, 1_700_000_000_000, "delete", bytes(range(16, 32))),
            "a7af89d69007a1d774add41e5ea18c6e",
        ),
    ],
)
def test_chains_never_change(link: tuple[bytes, Epoch, int, int, str, bytes], chain: str) -> None:
    assert chain_after(*link).hex() == chain


# --- laws --------------------------------------------------------------------------------------------


@given(CONTENTS)
def test_a_log_leads_to_its_head(contents: list[tuple[bytes, str, str, bytes]]) -> None:
    entries, head = log_of(contents, Epoch("epoch-a"))
    assert holds(entries, Epoch("epoch-a"), head)
    assert len(head) == CHAIN_BYTES
    assert {len(entry.digest) for entry in entries} == {DIGEST_BYTES}


CHANGES = {
    "offset": lambda e: e.offset + 1,
    "at": lambda e: e.at + 1,
    "kind": lambda e: "edit",
    "digest": lambda e: bytes([e.digest[0] ^ 1]) + e.digest[1:],
    "salt": lambda e: bytes([e.salt[0] ^ 1]) + e.salt[1:],
    "author": lambda e: e.author + "x",
    "id": lambda e: e.id + "x",
    "body": lambda e: e.body + b"x",
}


@pytest.mark.parametrize("field", CHANGES)
@given(contents=CONTENTS, data=st.data())
def test_any_change_breaks_it(field: str, contents: list[tuple[bytes, str, str, bytes]], data: st.DataObject) -> None:
    entries, head = log_of(contents, Epoch("epoch-a"))
    index = data.draw(st.integers(0, len(entries) - 1))
    entries[index] = msgspec.structs.replace(entries[index], **{field: CHANGES[field](entries[index])})
    assert not holds(entries, Epoch("epoch-a"), head)


@given(CONTENTS, st.data())
def test_leaving_out_repeating_or_swapping_breaks_it(contents: list[tuple[bytes, str, str, bytes]], data: st.DataObject) -> None:
    entries, head = log_of(contents, Epoch("epoch-a"))
    index = data.draw(st.integers(0, len(entries) - 1))
    assert not holds(entries[:index] + entries[index + 1:], Epoch("epoch-a"), head)
    assert not holds(entries[: index + 1] + entries[index:], Epoch("epoch-a"), head)
    assert not holds(entries, Epoch("epoch-b"), head)
    if index:
        entries[index - 1], entries[index] = entries[index], entries[index - 1]
        assert not holds(entries, Epoch("epoch-a"), head)


@given(CONTENTS, st.data())
def test_an_erasure_keeps_the_chain_and_nothing_that_names_anybody(
    contents: list[tuple[bytes, str, str, bytes]], data: st.DataObject
) -> None:
    entries, head = log_of(contents, Epoch("epoch-a"))
    index = data.draw(st.integers(0, len(entries) - 1))
    tombstone = entries[index].erased("moderator")
    entries[index] = tombstone
    assert holds(entries, Epoch("epoch-a"), head)
    assert (tombstone.salt, tombstone.author, tombstone.id, tombstone.body) == (b"", "", "", b"")
    assert tombstone.removed == "moderator"


@given(st.tuples(st.binary(max_size=9), st.text(max_size=9), st.text(max_size=9), st.binary(max_size=9)), st.data())
def test_parts_cannot_slide_into_one_another(content: tuple[bytes, str, str, bytes], data: st.DataObject) -> None:
    salt, author, message_id, body = content
    whole = author + message_id
    cut = data.draw(st.integers(0, len(whole)))
    slid = (salt, whole[:cut], whole[cut:], body)
    assert (digest_of(*slid) == digest_of(*content)) == (slid == content)


@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 18), OFFSETS, TIMES)
def test_epoch_and_kind_cannot_slide_into_one_another(epoch: str, kind: str, cut: int, offset: int, at: int) -> None:
    whole = epoch + kind
    slid = (whole[:cut], whole[cut:])
    chains = [chain_after(CHAIN_START, Epoch(e), offset, at, k, bytes(16)) for e, k in ((epoch, kind), slid)]
    assert (chains[0] == chains[1]) == (slid == (epoch, kind))
