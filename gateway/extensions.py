"""Whether a handshake agrees on compression, and on which terms.  Pure.

The grammar is RFC 6455's (9.1), the meaning RFC 7692's (5.1 and 7.1).  Our terms are always
the same: no context taken over in either direction, and our window has 15 bits, so that
what is deflated once fits every reader of a room.  A client that cannot grant a window of 15
bits is not given compression; it is let in without.
"""

import re

# RFC 7230's token, and a quoted string whose content has to be one.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME = re.compile(_TOKEN)
_PARAMETER = re.compile(rb'[ \t]*;[ \t]*(' + _TOKEN + rb')(?:[ \t]*=[ \t]*(?:(' + _TOKEN + rb')|"((?:[^"\\]|\\.)*)"))?')
_BETWEEN = re.compile(rb"[ \t]*(?:,[ \t,]*|\Z)")
_BEFORE = re.compile(rb"[ \t,]*")
_ESCAPE = re.compile(rb"\\(.)")

# Without leading zeros, as the RFC has it (7.1.2).
_WINDOW_BITS = frozenset(b"%d" % bits for bits in range(8, 16))
_OUR_WINDOW_BITS = b"15"

Parameters = list[tuple[bytes, bytes | None]]
"""Names with their values, None for those that have none; in their order, and as often as they were given."""


class MalformedExtensions(ValueError):
    """A header that is not of RFC 6455's grammar: the handshake has to fail."""


def agree_on_deflate(lines: list[bytes]) -> bytes | None:
    """The answer to the first offer whose terms are ours too, as the value of our header; None when there is none.

    `lines` are the values of all Sec-WebSocket-Extensions headers.  Raises `MalformedExtensions`.
    """
    for name, parameters in offers_in(b",".join(lines)):
        # Letter by letter, as it is registered; who writes it otherwise goes without.
        if name == b"permessage-deflate":
            answer = _answer(parameters)
            if answer is not None:
                return answer
    return None


def _answer(parameters: Parameters) -> bytes | None:
    """What is agreed to; None declines: an unknown parameter, one given twice, a bad value, or a window too small."""
    names = [name for name, _ in parameters]
    if len(set(names)) < len(names):
        return None
    answer = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    for name, value in parameters:
        match name:
            case b"server_no_context_takeover" | b"client_no_context_takeover":
                is_met = value is None
            case b"client_max_window_bits":
                # A hint, which is not answered: we inflate whatever window it takes.
                is_met = value is None or value in _WINDOW_BITS
            case b"server_max_window_bits":
                is_met = value == _OUR_WINDOW_BITS
                answer += b"; server_max_window_bits=" + _OUR_WINDOW_BITS
            case _:
                is_met = False
        if not is_met:
            return None
    return answer


def offers_in(value: bytes) -> list[tuple[bytes, Parameters]]:
    """The extensions that a header offers, in order; raises `MalformedExtensions`.  Linear in its length."""
    offers: list[tuple[bytes, Parameters]] = []
    at = _end(_BEFORE, value, 0)
    while at < len(value):
        named = _NAME.match(value, at)
        if named is None:
            raise MalformedExtensions("an extension has no name")
        parameters: Parameters = []
        at = named.end()
        while parameter := _PARAMETER.match(value, at):
            parameters.append((parameter[1], _value_of(parameter)))
            at = parameter.end()
        offers.append((named[0], parameters))
        at = _end(_BETWEEN, value, at)
    return offers


def _value_of(parameter: re.Match[bytes]) -> bytes | None:
    quoted = parameter[3]
    if quoted is None:
        return parameter[2]
    unquoted = _ESCAPE.sub(rb"\1", quoted)
    if not _NAME.fullmatch(unquoted):
        raise MalformedExtensions("a quoted value is no token")
    return unquoted


def _end(pattern: re.Pattern[bytes], value: bytes, at: int) -> int:
    matched = pattern.match(value, at)
    if matched is None:
        raise MalformedExtensions("an extension is followed by neither a parameter nor another one")
    return matched.end()
