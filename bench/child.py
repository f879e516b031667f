"""Our ends of the load processes: start, order, report, end."""

import select
import subprocess
import sys
from pathlib import Path
from typing import IO, TypeVar

import msgspec
from msgspec import Struct

from bench.orders import Failed, Order, Report, decode_report, encode_line

REPORT_TIMEOUT_S = 120.0
END_TIMEOUT_S = 5.0
ROOT = Path(__file__).parent.parent

R = TypeVar("R", bound=Report)
S = TypeVar("S")


class LoadFailed(Exception):
    """A load process could not carry out an order, or is gone."""


class LoadProcess:
    """One load process, spoken to in JSON lines."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def order(self, order: Order, kind: type[R]) -> R:
        """Give an order and wait for its report."""
        self.send(order)
        return self.wait(kind)

    def send(self, order: Order) -> None:
        _stream(self._process.stdin).write(encode_line(order))

    def is_done(self, timeout_s: float = 0.0) -> bool:
        """Whether the report of the last order has begun to come."""
        ready, _, _ = select.select([_stream(self._process.stdout)], [], [], timeout_s)
        return bool(ready)

    def wait(self, kind: type[R]) -> R:
        if not self.is_done(REPORT_TIMEOUT_S):
            raise LoadFailed(f"{self._module} has not reported for {REPORT_TIMEOUT_S:.0f} s")
        line = _stream(self._process.stdout).readline()
        if not line:
            raise LoadFailed(f"{self._module} ended with {self._process.wait()}")
        report = decode_report(line)
        if isinstance(report, Failed):
            raise LoadFailed(f"{self._module}: {report.reason}")
        if not isinstance(report, kind):
            raise LoadFailed(f"{self._module} reported {type(report).__name__} instead of {kind.__name__}")
        return report

    def end(self) -> None:
        """Its stdin ends, so it does."""
        _stream(self._process.stdin).close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _stream(self._process.stdout).close()


class Lines:
    """A load process that is told its order as an argument and answers in lines of JSON."""

    def __init__(self, module: str, order: Struct) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, msgspec.json.encode(order).decode()],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def wait(self, kind: type[S], deadline_s: float = REPORT_TIMEOUT_S) -> S:
        """The next line, which is of this kind."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], deadline_s)[0]:
            raise LoadFailed(f"{self._module} has said nothing for {deadline_s:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailed(f"{self._module} ended with {self._process.wait()}")
        return msgspec.json.decode(line, type=kind)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "the process was started with pipes"
    return stream
