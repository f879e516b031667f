"""What somebody may do, and in which rooms.

Capabilities are written as a table from room pattern to actions, in a token's ``caps`` and in
the settings alike: ``{"town/*": "read publish", "town/square": "read publish moderate"}``.
A pattern is a room's name, or the beginning of one with ``*`` for the rest; ``*`` alone means
every room.  All patterns that fit a room count together: a table only ever grants.

Rooms of the reserved namespace are the service's own: ``*`` does not reach them, only a
pattern that spells the namespace out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from wire.limits import CAPABILITY_PATTERNS_MAX, ROOM_NAME_CHARS_MAX
from wire.names import RESERVED_NAMESPACE

_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9_./-]*\*?\Z|\*\Z")
_RESERVED: Final = f"{RESERVED_NAMESPACE}/"
# Tables that are in use at one time: an issuer has a handful of roles, not one for each person.
_TABLES_KEPT: Final = 1024


class Action(Enum):
    """What can be granted.  `READ` is entering a room and its history; `PUBLISH` is editing and deleting one's own, too."""

    READ = "read"
    PUBLISH = "publish"
    ASK = "ask"
    VOTE = "vote"
    MODERATE = "moderate"
    HOST = "host"


_ACTIONS: Final = {action.value: action for action in Action}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A table, ready to be asked.  Shared by all who were given the same one."""

    rooms: Mapping[str, frozenset[Action]]
    """By whole room name."""
    beginnings: tuple[tuple[str, frozenset[Action]], ...]
    """By what a room's name begins with."""

    def allow(self, action: Action, room: str) -> bool:
        """Whether any pattern grants `action` in `room`."""
        if action in self.rooms.get(room, ()):
            return True
        is_reserved = room.startswith(_RESERVED)
        return any(
            action in actions and room.startswith(beginning) and (not is_reserved or beginning.startswith(_RESERVED))
            for beginning, actions in self.beginnings
        )


NOTHING: Final = Capabilities({}, ())


def parse_capabilities(table: Mapping[str, str]) -> Capabilities:
    """Read a table; raises `ValueError` whose sentence names the entry that is wrong."""
    if len(table) > CAPABILITY_PATTERNS_MAX:
        raise ValueError(f"{len(table)} room patterns exceed {CAPABILITY_PATTERNS_MAX}")
    return _parsed(tuple(sorted(table.items())))


@lru_cache(_TABLES_KEPT)
def _parsed(entries: tuple[tuple[str, str], ...]) -> Capabilities:
    """Tokens of one role carry the same table: ten thousand readers share one object of it."""
    rooms: dict[str, frozenset[Action]] = {}
    beginnings: list[tuple[str, frozenset[Action]]] = []
    for pattern, words in entries:
        if len(pattern) > ROOM_NAME_CHARS_MAX or not _PATTERN.match(pattern):
            raise ValueError(f"{pattern[:ROOM_NAME_CHARS_MAX]!r} is no room pattern (namespace/name, namespace/* or *)")
        unknown = [word for word in words.split() if word not in _ACTIONS]
        if unknown:
            raise ValueError(f"{pattern!r} grants {unknown[0][:32]!r}; an action is one of {', '.join(_ACTIONS)}")
        actions = frozenset(_ACTIONS[word] for word in words.split())
        if pattern.endswith("*"):
            beginnings.append((pattern[:-1], actions))
        else:
            rooms[pattern] = actions
    return Capabilities(rooms, tuple(beginnings))
