"""`parvis loadtest` from the flags to the exit code: what is shown, written and steered beside a run."""

import os
import signal
import socket
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from random import Random, SystemRandom
from typing import Final

import trio

from loadtest.figures.record import RunRecord
from loadtest.master.collector import Closed, Collector
from loadtest.master.master import Master, RunFailed
from loadtest.master.seats import many
from loadtest.master.steering import LogLine
from loadtest.reports.exposition import RunMetrics
from loadtest.reports.outputs import OutputError, Outputs
from loadtest.reports.terminal import Screen, Terminal
from loadtest.verdicts.verdict import Exit
from loadtest.web.downloads import downloads
from loadtest.web.web import LoginNeeded, access_for, serve_web
from loadtest.web.web_access import Access, Login, LoginError
from parvis.loadtest.checks import check_world, open_door, sources_of
from parvis.loadtest.conduct import Beside, conduct
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.keys import obey_keys
from parvis.loadtest.reading import NoRun, Understood
from runtime.admin import AdminServer
from runtime.http_server import listen
from runtime.lifecycle import Lifecycle
from runtime.logs import make_logger
from runtime.schema import LogSettings
from runtime.sockets import SocketNetwork
from runtime.transport import Listener

LOGIN_VARIABLE: Final = "PARVIS_LOADTEST_LOGIN"


class LoadTest:
    """One command's run."""

    def __init__(self, flags: LoadtestFlags, understood: Understood) -> None:
        self._flags = flags
        self._understood = understood
        self._rng: Random = SystemRandom()
        self._terminal = Terminal(Screen())
        self._outputs: Outputs | None = None
        self._files = ExitStack()
        self._unwritten: OSError | None = None
        """Why files are not what they should be, once the disk has said no."""

    async def run(self, lifecycle: Lifecycle) -> Exit:
        """Raises `NoRun`."""
        flags, understood = self._flags, self._understood
        with ExitStack() as opened:
            access, page = self._open_page(opened)
            sources = sources_of(flags, understood.orders)
            listener = await open_door(flags, understood)
            opened.callback(listener.close)
            # Asked for before the run, so that nobody learns after it that a folder is not there.
            self._files = opened
            self._open_files()
            await check_world(understood, self._rng)
            self._say_where(listener.port, page)
            beside: list[Beside] = [self._show, self._date_files, _stop_at_signal(lifecycle)]
            if page is not None:
                beside.append(self._serve(page, access, lifecycle))
            if flags.metrics_port is not None:
                beside.append(await _metrics(flags.web_host, flags.metrics_port))
            if sys.stdin.isatty():
                beside.append(obey_keys)
            try:
                record = await conduct(
                    understood, listener, rng=self._rng, sources=sources, beside=beside,
                    on_second=self._second, on_log=self._terminal.say,
                )  # fmt: skip
            except RunFailed as no:
                raise NoRun(str(no), Exit(no.code)) from no
            self._finish(record)
        return Exit(record.verdict.code)

    def _open_page(self, opened: ExitStack) -> tuple[Access, socket.socket | None]:
        flags = self._flags
        login = os.environ.get(LOGIN_VARIABLE)
        try:
            access = access_for("127.0.0.1" if flags.headless else flags.web_host, Login.parse(login) if login else None)
            if flags.headless:
                return access, None
            page = listen(flags.web_host, flags.web_port)
        except (LoginError, LoginNeeded) as error:
            raise NoRun(str(error)) from error
        except OSError as error:
            raise NoRun(f"{error.strerror or error}: name another with --web-port, or take --headless") from error
        opened.callback(page.close)
        return access, page

    def _say_where(self, port: int, page: socket.socket | None) -> None:
        plan = self._understood.orders.plan
        if page is not None:
            host, page_port = page.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"Open http://{shown}:{page_port}/{'' if plan.starts_by_itself else ' and press Start'}", flush=True)
        if not self._understood.local_workers:
            host = self._flags.master_bind_host
            print(
                f"waits for {many(plan.workers_expected, 'worker')}: parvis loadtest -f {self._flags.scenario_file} "
                f"--worker --master-host {host} --master-port {port}",
                flush=True,
            )

    # --- beside the run --------------------------------------------------------------------------------

    async def _date_files(self, master: Master, over: trio.Event) -> None:
        """A run may have waited an hour for its start: from there its files count."""
        async with trio.open_nursery() as nursery:

            async def open_again() -> None:
                await master.begun.wait()
                self._open_files()

            nursery.start_soon(open_again)
            await over.wait()
            nursery.cancel_scope.cancel()

    def _open_files(self) -> None:
        try:
            self._outputs = self._files.enter_context(Outputs(self._understood.files, datetime.now(UTC)))
        except OutputError as error:
            raise NoRun(str(error)) from error

    async def _show(self, master: Master, over: trio.Event) -> None:
        await self._terminal.show(master, over)

    def _serve(self, page: socket.socket, access: Access, lifecycle: Lifecycle) -> Beside:
        async def serve(master: Master, over: trio.Event) -> None:
            async def wait_end() -> None:
                """The page outlives the run, so that its figures can be looked at and taken away."""
                await over.wait()
                with trio.move_on_after(_or_inf(self._understood.autoquit_s)):
                    await lifecycle.wait_drain()

            await serve_web(page, master, access, downloads(self._understood.orders.scenario), wait_end=wait_end)

        return serve

    def _second(self, closed: Closed, run: Collector) -> None:
        assert self._outputs is not None, "files are opened before the run"
        if self._unwritten is not None:
            return
        try:
            self._outputs.second(closed, run)
        except OSError as error:
            # The run goes on: what it does to a server is more than its files.
            self._unwritten = error
            self._terminal.say(LogLine("", "error", f"files are not written any more: {error}"))

    def _finish(self, record: RunRecord) -> None:
        assert self._outputs is not None, "files are opened before the run"
        files: list[str] = []
        try:
            files = self._outputs.finish(record)
        except OSError as error:
            self._unwritten = error
        self._terminal.end(record, files)
        if self._unwritten is not None:
            raise NoRun(f"the run is over, and not all of its files could be written: {self._unwritten}") from self._unwritten


def _stop_at_signal(lifecycle: Lifecycle) -> Beside:
    async def stop(master: Master, over: trio.Event) -> None:
        async with trio.open_nursery() as nursery:

            async def give_up() -> None:
                await lifecycle.wait_drain()
                master.give_up(f"{lifecycle.drain_reason} came; a second one ends it at once")

            nursery.start_soon(give_up)
            nursery.start_soon(_hear_hangup, lifecycle)
            await over.wait()
            nursery.cancel_scope.cancel()

    return stop


async def _hear_hangup(lifecycle: Lifecycle) -> None:
    """A terminal that is closed ends the run in order, however often it says so: who is frozen is woken, files are written."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        # Started by nohup: it shall go on.
        return
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        async for _ in signals:
            lifecycle.start_drain(signal.Signals.SIGHUP.name)


async def _metrics(host: str, port: int) -> Beside:
    """The generator's own figures.  Raises `NoRun` when the port is taken."""
    try:
        listener = await SocketNetwork().listen(host, port)
    except OSError as error:
        raise NoRun(f"{error.strerror or error} for the figures: name another with --metrics-port") from error
    print(f"figures for Prometheus: http://{listener.host}:{listener.port}/metrics", flush=True)

    async def serve(master: Master, over: trio.Event) -> None:
        figures = RunMetrics(master, master.collector)
        server = AdminServer(metrics=figures, readiness=tuple, log=make_logger(LogSettings(level="error")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run, _Opened(listener), listener.host, listener.port)
            await over.wait()
            nursery.cancel_scope.cancel()

    return serve


class _Opened(SocketNetwork):
    """A network that listens already."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def listen(self, host: str, port: int, *, send_buffer_bytes: int = 0) -> Listener:
        return self._listener


def _or_inf(seconds: float | None) -> float:
    return seconds if seconds is not None else float("inf")

