"""Readers that misbehave on demand: slow ones, silent ones, and ones that send what is no frame.

    slow-readers   stop reading: the server's buffers fill, and it must not hold others up
    half-open      vanish without a goodbye, as far as a program can make a socket do so: nothing is read, answered or
                   closed, so the server's pings stay unanswered; one in four resets its connection instead
    malformed      send one of MALFORMATIONS, in turn: the server must refuse it and nobody else may notice
    offline        lose their network all at once: connections are reset, and how long each resume takes is measured

They are counted apart (`misbehaved`), their ends are expected (`misbehaved_ended`), and then they
are ordinary readers again, who come back and resume.
"""

import socket
import struct
from collections.abc import Callable
from itertools import cycle
from random import Random
from typing import Final

from loadtest.connections.greeting import masked_frame
from loadtest.figures.tally import Tally
from loadtest.master.fault_plan import CLIENT_KINDS
from loadtest.readers.hearing import ABNORMAL
from loadtest.readers.lifelines import Lifelines
from loadtest.readers.reader import NOWHERE, Line
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_TEXT, frame
from wire.limits import CLIENT_FRAME_BYTES_MAX

_MASK: Final = b"\x5a\x17\xc3\x08"

# What no server may take, each in the bytes of one client, and what is wrong with it in its name.
MALFORMATIONS: Final[dict[str, bytes]] = {
    "not masked": frame(OPCODE_BINARY, b"\x81\xa1t\xa4pong"),
    "reserved bits": bytes((0xF0 | OPCODE_BINARY, 0x80)) + _MASK,
    "unknown opcode": masked_frame(b"", _MASK, 0x3),
    "unknown control frame": masked_frame(b"", _MASK, 0xB),
    "long control frame": bytes((0x80 | OPCODE_PING, 0x80 | 126)) + struct.pack("!H", 126) + _MASK + bytes(126),
    "control frame in pieces": bytes((OPCODE_PING, 0x80)) + _MASK,
    "continuation of nothing": masked_frame(b"x", _MASK, 0x0),
    "length not in its shortest form": bytes((0x80 | OPCODE_BINARY, 0x80 | 126)) + struct.pack("!H", 5) + _MASK + bytes(5),
    "negative length": bytes((0x80 | OPCODE_BINARY, 0x80 | 127)) + struct.pack("!Q", 1 << 63) + _MASK,
    "frame beyond the bound": bytes((0x80 | OPCODE_BINARY, 0x80 | 127)) + struct.pack("!Q", CLIENT_FRAME_BYTES_MAX + 1) + _MASK,
    "text where binary was agreed on": masked_frame(b"{}", _MASK, OPCODE_TEXT),
    "close with half a code": masked_frame(b"\x03", _MASK, OPCODE_CLOSE),
    "no message": masked_frame(b"\xc1\xff\x00", _MASK),
    "no map": masked_frame(b"\x93\x01\x02\x03", _MASK),
    "no websocket at all": b"GET / HTTP/1.1\r\nHost: again\r\n\r\n",
}  # fmt: skip
# SO_LINGER with no time: closing sends a reset instead of a goodbye.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_RESETS_ONE_IN: Final = 4


class Faults:
    """Chooses readers and spoils them."""

    def __init__(self, lifelines: Lifelines, tally: Tally, rng: Random) -> None:
        self._lifelines = lifelines
        self._tally = tally
        self._rng = rng
        self._malformations = cycle(MALFORMATIONS.values())
        self._half_open = 0
        self._spoil: dict[str, Callable[[Line], None]] = {
            "slow-readers": self._stop_reading,
            "half-open": self._vanish,
            "malformed": self._send_rubbish,
            "offline": self._go_offline,
        }
        assert set(self._spoil) == set(CLIENT_KINDS), "a fault that can be planned can be carried out"

    def inflict(self, kind: str, count: int, seconds: float) -> int:
        """Make so many connected readers `kind`; answers how many there were.

        After `seconds` they read again; with 0 they go on until the server ends it.
        """
        healthy = [line for line in self._lifelines.open.values() if not line.is_leaving and not line.reader.fault]
        chosen = self._rng.sample(healthy, min(count, len(healthy)))
        for line in chosen:
            line.reader.fault = kind
            self._tally.counts["misbehaved"] += 1
            self._spoil[kind](line)
            if seconds > 0 and line.reader.fault:
                self._lifelines.after(seconds, self._recover, line)
        return len(chosen)

    def _stop_reading(self, line: Line) -> None:
        self._lifelines.deafen(line)

    def _vanish(self, line: Line) -> None:
        self._half_open += 1
        if self._half_open % _RESETS_ONE_IN:
            self._lifelines.deafen(line)
            return
        self._reset(line)

    def _go_offline(self, line: Line) -> None:
        # What follows is no misbehaviour: it is what happens to every reader in a train, and is measured as such.
        line.reader.fault = ""
        self._reset(line)

    def _reset(self, line: Line) -> None:
        line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._lifelines.lost(line, ABNORMAL, "reset on purpose", by_us=True)

    def _send_rubbish(self, line: Line) -> None:
        # The server's answer is its end, which is read like any other.
        self._lifelines.send(line, next(self._malformations))

    def _recover(self, line: Line) -> None:
        """Read again, what has piled up first; a connection that has ended meanwhile says so now."""
        if line.reader.line is line and line.reader.fault and line.place is NOWHERE:
            self._lifelines.hear_again(line)
