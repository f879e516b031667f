"""The network of production: plain non-blocking TCP sockets behind the seam of transport.py.

Linux only, and on purpose: accepted sockets inherit TCP_NODELAY and SO_SNDBUF from the
listening one there, so accepting costs no system call for either (a test holds that).
Everything here is called from inside trio.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable

import trio

from runtime.transport import Listener, Transport

# Enough for a flash crowd to wait in the kernel; `net.core.somaxconn` (4096 by default
# since Linux 5.4) caps it anyway.
BACKLOG = 4096
_LINGER_NOT = struct.pack("ii", 1, 0)


class SocketTransport:
    """One connected stream socket; `try_send` and `try_recv` are the socket's own C methods."""

    __slots__ = ("_sock", "peer", "try_recv", "try_send")

    try_send: Callable[[bytes | memoryview], int]
    try_recv: Callable[[int], bytes]

    def __init__(self, sock: socket.socket, peer: str) -> None:
        """Take over `sock`, which must be connected and non-blocking."""
        self._sock = sock
        self.peer = peer
        self.try_send = sock.send
        self.try_recv = sock.recv

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(_open_fd(self._sock))

    async def wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(_open_fd(self._sock))

    def close(self) -> None:
        _close(self._sock)

    def abort(self) -> None:
        if self._sock.fileno() != -1:
            # Lingering for 0 s makes close(2) drop the send buffer and reset the peer.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.close()


class SocketListener:
    """One listening TCP socket."""

    __slots__ = ("_sock", "host", "port")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.host, self.port = sock.getsockname()[:2]

    def try_accept(self) -> Transport:
        sock, address = self._sock.accept()
        sock.setblocking(False)
        return SocketTransport(sock, _address_text(address))

    async def wait_acceptable(self) -> None:
        await trio.lowlevel.wait_readable(_open_fd(self._sock))

    def close(self) -> None:
        _close(self._sock)


class SocketNetwork:
    """TCP of this machine; holds no state, so one may serve every role of a process."""

    async def listen(self, host: str, port: int, *, send_buffer_bytes: int = 0) -> Listener:
        """Bind the first address that `host` means; raises `OSError` that names it.

        `send_buffer_bytes` is what each accepted socket asks of the kernel for what it sends
        (Linux doubles the number for its own bookkeeping); 0 leaves the kernel's choice.
        """
        family, _, _, _, address = (await _resolve(host, port, socket.AI_PASSIVE))[0]
        return SocketListener(_listening(family, address, send_buffer_bytes))

    async def listen_shared(self, host: str, port: int, count: int, *, send_buffer_bytes: int = 0) -> list[socket.socket]:
        """`count` sockets that listen on one port, for as many processes; the kernel deals connections out among them.

        A connection stays with the socket it was dealt to, from its first packet on, and is reset when that
        socket is closed before it was accepted.  So a socket outlives the process that accepts from it:
        whoever made it keeps it, and gives it to the successor.
        """
        family, _, _, _, address = (await _resolve(host, port, socket.AI_PASSIVE))[0]
        # With SO_REUSEPORT another process of ours could take a share of a port that is in use: first ask without it.
        _listening(family, address, 0).close()
        first = _listening(family, address, send_buffer_bytes, is_shared=True)
        shared = [first]
        try:
            while len(shared) < count:
                shared.append(_listening(family, first.getsockname(), send_buffer_bytes, is_shared=True))
        except OSError:
            for sock in shared:
                sock.close()
            raise
        return shared

    async def connect(self, host: str, port: int) -> Transport:
        """Try the addresses of `host` one after another; raises the last one's `OSError`."""
        refused: OSError | None = None
        for family, _, _, _, address in await _resolve(host, port, 0):
            try:
                return await _connect_to(family, address)
            except OSError as error:
                refused = error
        assert refused is not None, "getaddrinfo answers at least one address or raises"
        raise refused

    def pair(self) -> tuple[Transport, Transport]:
        left, right = socket.socketpair()
        left.setblocking(False)
        right.setblocking(False)
        return SocketTransport(left, "pair"), SocketTransport(right, "pair")


_Address = tuple[str, int] | tuple[str, int, int, int]


def adopt_listener(descriptor: int) -> SocketListener:
    """A listening socket that another process made and left to this one; raises `OSError` when it is none."""
    sock = socket.socket(fileno=descriptor)
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise OSError(errno.EINVAL, f"descriptor {descriptor} is no listening socket")
    sock.setblocking(False)
    return SocketListener(sock)


def _listening(family: int, address: _Address, send_buffer_bytes: int, *, is_shared: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if send_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {_address_text(address)}: {os.strerror(error.errno or 0)}") from error
    return sock


async def _resolve(host: str, port: int, flags: int) -> list[tuple[int, int, int, str, _Address]]:
    """What `host` means; a literal is answered at once, a name by the resolver on a worker thread."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(int(family), int(kind), proto, name, address) for family, kind, proto, name, address in found]  # type: ignore[misc]


async def _connect_to(family: int, address: _Address) -> Transport:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, f"cannot connect to {_address_text(address)}: {os.strerror(code)}")
    except BaseException:
        # Also when cancelled: a half-open socket has no other owner.
        _close(sock)
        raise
    return SocketTransport(sock, _address_text(address))


def _open_fd(sock: socket.socket) -> int:
    fd = sock.fileno()
    if fd == -1:
        raise trio.ClosedResourceError("this socket was closed")
    return fd


def _close(sock: socket.socket) -> None:
    if sock.fileno() != -1:
        # First the waiters, then the descriptor: its number may be reused at once.
        trio.lowlevel.notify_closing(sock)
        sock.close()


def _address_text(address: _Address) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
