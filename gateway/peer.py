"""How the other side of a client's connection may end it."""


class PeerGone(Exception):
    """The stream is over without a goodbye: its end, a reset, or our own close underneath."""


class PeerClosed(Exception):
    """The peer said goodbye with a close frame; `code` is its own, 1005 when it gave none."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed by the peer with {code}")
        self.code = code
