"""One plain HTTP/1.1 request over trio, as bytes: what tests need to ask a server of ours."""

from collections.abc import Mapping
from dataclasses import dataclass

import trio


@dataclass(frozen=True)
class Answer:
    """Header names are in lower case; of a repeated header the last one counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    port: int, path: str, *, method: str = "GET", host: str | None = None, head: str = "", body: bytes = b""
) -> Answer:
    """Ask 127.0.0.1; `head` are further header lines, each ended by CRLF."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        host = host if host is not None else f"127.0.0.1:{port}"
        await stream.send_all(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{head}Connection: close\r\n\r\n".encode() + body)
        data = b"".join([chunk async for chunk in stream])
    lines, _, answered = data.partition(b"\r\n\r\n")
    status, *fields = lines.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Answer(int(status.split()[1]), headers, answered)
