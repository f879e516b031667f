"""The one error every decoder of outside bytes may raise."""

from wire.codes import CloseCode


class PeerError(Exception):
    """The other side broke the protocol: it is told once, and its connection ends.

    `code` is what the connection is closed with; the message names the thing, the
    bound and the value, never a text that a person wrote.
    """

    def __init__(self, code: CloseCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
