"""permessage-deflate for tests: wsproto's own extension as a client has it, and messages deflated and inflated whole."""

import zlib

from wsproto.extensions import PerMessageDeflate

from gateway.deflate import Inflater

ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def agreed() -> PerMessageDeflate:
    """wsproto's extension, as a client has it after our answer to its handshake."""
    extension = PerMessageDeflate()
    extension.finalize(ANSWER)
    return extension


def deflated(payload: bytes) -> bytes:
    """What a client puts into one message."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(data: bytes, bytes_max: int) -> bytes:
    """What one deflated message stands for."""
    inflater = Inflater(bytes_max)
    inflater.feed(data)
    return inflater.finish()
