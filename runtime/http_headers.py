"""The HTTP headers that every page of ours is fenced in with, and the one that says by which name it was asked.  Pure."""

import re
from typing import Final

# A host name, an IPv4 address, or an IPv6 address in brackets; then a port, perhaps.  Strict,
# because what matches is written into a header and into JSON.
_HOST: Final = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?\Z")


def host_of(header: str) -> str | None:
    """The host in a Host header, without its port; None for anything that is none."""
    found = _HOST.match(header)
    return found.group(1) if found else None


def fence(connect: str) -> dict[str, str]:
    """Scripts and styles from our own files only, connections to the sources `connect` only, never inside another page."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        # The files change with the program and have no version in their names.
        "Cache-Control": "no-cache",
    }
