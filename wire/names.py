"""Names that people and programs give: rooms, message ids, and their validation."""

import re
from typing import NewType

from wire.limits import (
    MESSAGE_ID_CHARS_MAX,
    ROOM_LOCAL_CHARS_MAX,
    ROOM_NAMESPACE_CHARS_MAX,
    ROW_KEY_BYTES_MAX,
    TABLE_NAME_CHARS_MAX,
)

RoomName = NewType("RoomName", str)
AuthorId = NewType("AuthorId", str)
MessageId = NewType("MessageId", str)
Epoch = NewType("Epoch", str)
Offset = NewType("Offset", int)
Slot = NewType("Slot", int)
Term = NewType("Term", int)
ShardId = NewType("ShardId", str)
TableName = NewType("TableName", str)

# `\Z`, not `$`: `$` would accept a line break at the end.
_ROOM = re.compile(
    rf"[a-z0-9][a-z0-9_-]{{0,{ROOM_NAMESPACE_CHARS_MAX - 1}}}/[a-z0-9][a-z0-9_.-]{{0,{ROOM_LOCAL_CHARS_MAX - 1}}}\Z"
)
_MESSAGE_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{MESSAGE_ID_CHARS_MAX}}}\Z")
_TABLE = re.compile(rf"[a-z][a-z0-9_]{{0,{TABLE_NAME_CHARS_MAX - 1}}}\Z")
# No control characters: stores put them between a key and what follows it.
_ROW_KEY = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+\Z")

DESK_SUFFIX = "!desk"
# Rooms of the service itself, such as the one that revocations travel through: clients do not enter them.
RESERVED_NAMESPACE = "parvis"
CONTROL_ROOM = RoomName(f"{RESERVED_NAMESPACE}/control")


def parse_room(text: str) -> RoomName | None:
    """`namespace/name`, or None.  The companion `!desk` rooms are never named by clients."""
    return RoomName(text) if _ROOM.match(text) else None


def parse_message_id(text: str) -> MessageId | None:
    """The sender's own id of a message, or None: 1 to 64 of ``A-Z a-z 0-9 . _ -``."""
    return MessageId(text) if _MESSAGE_ID.match(text) else None


def parse_table(text: str) -> TableName | None:
    """The name of one of a room's tables, or None: a letter, then up to 31 of ``a-z 0-9 _``."""
    return TableName(text) if _TABLE.match(text) else None


def is_row_key(text: str) -> bool:
    """Whether a row of a table can have this key: 1 to ROW_KEY_BYTES_MAX bytes of UTF-8, no control characters."""
    return bool(_ROW_KEY.match(text)) and len(text.encode()) <= ROW_KEY_BYTES_MAX


def namespace_of(room: RoomName) -> str:
    """What lies before the slash; it gives the room its policy."""
    return room.partition("/")[0]
