"""Why a connection came to nothing: as a short code to count it under, and whether it was our own machine's doing.  Pure."""

import errno
import re
from typing import Final

_ANSWERED: Final = re.compile(r"the server answered (\d{3})")
# Whom it was about may stand before the error's own words, and is no part of a code.
_ERRNO: Final = re.compile(r"\[Errno (\d+)\] (?:.*: )?(.+)")
OTHER_FAILURE: Final = "failed"

_OWN_FAULTS: Final = {
    errno.EADDRNOTAVAIL: "this machine has no port left for another connection: name more --source-ips",
    errno.EMFILE: "this process may open no more sockets: raise the limit of descriptors (ulimit -n) or take more --processes",
    errno.ENFILE: "this machine may open no more files: raise the kernel's fs.file-max",
}


def own_fault(number: int) -> str | None:
    """One plain sentence if an error of that number is the generator's own; None if a server or a network may have it."""
    return _OWN_FAULTS.get(number)


def refusal_code(reason: str) -> str:
    """A connection that failed with `reason` (`client.connection.Hooks`): ``http 503``, ``connection refused`` ..."""
    answered = _ANSWERED.fullmatch(reason)
    if answered is not None:
        return f"http {answered[1]}"
    told = _ERRNO.search(reason)
    if told is not None:
        return told[2].lower()
    return "no TLS" if reason.startswith("no TLS") else OTHER_FAILURE


def errno_of(reason: str) -> int:
    """The system's number of the error in that reason; 0 without one."""
    told = _ERRNO.search(reason)
    return int(told[1]) if told is not None else 0
