"""One question to one gateway: a connection that says hello with a token, asks, hears the answer and goes.

For programs that want one thing done and not a conversation, as an operator's command does.
"""

import trio

from client.connection import Connection, Dial, dial
from client.updates import HistoryPage
from wire.client_codec import Form
from wire.client_messages import PROTOCOL_VERSION, AnyServerMessage, ClientMessage, Hello, Refused, Welcome
from wire.codes import CloseCode
from wire.limits import CLIENT_REQUEST_WAIT_S

# Of the question; a client that asks one thing needs no second number.
NUMBER = 1


class NoAnswer(Exception):
    """The connection ended first, and the question may have been carried out.

    `code` is the close code; None when it never opened, or when patience ended.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


async def ask_once(
    url: str, token: str, question: ClientMessage, *, client: str, dial_url: Dial = dial, wait_s: float = CLIENT_REQUEST_WAIT_S
) -> AnyServerMessage:
    """The answer to `question`, whose number is NUMBER.  Raises `NoAnswer`, after `wait_s` at the latest."""
    asking = _Asking(Hello(PROTOCOL_VERSION, client, token=token), question)
    connection = asking.connection = Connection(url, Form.MSGPACK, dial_url, asking)
    with trio.move_on_after(wait_s) as patience:
        await connection.run()
    if asking.answer is not None:
        return asking.answer
    if patience.cancelled_caught:
        raise NoAnswer(f"nothing was answered within {wait_s:g} s")
    raise NoAnswer(asking.reason, asking.code)


class _Asking:
    """What to say when, as the connection's hooks."""

    def __init__(self, hello: Hello, question: ClientMessage) -> None:
        self._hello = hello
        self._question = question
        self.connection: Connection | None = None
        self.answer: AnyServerMessage | None = None
        self.reason = ""
        self.code: int | None = None

    def opened(self) -> None:
        self._say(self._hello)

    def received(self, message: AnyServerMessage | HistoryPage) -> None:
        if isinstance(message, Welcome):
            self._say(self._question)
        elif isinstance(message, HistoryPage) or self.answer is not None:
            return
        elif getattr(message, "n", None) == NUMBER:
            self.answer = message
            self._leave(CloseCode.NORMAL, "")
        elif isinstance(message, Refused):
            self.reason = message.message

    def broken(self, reason: str) -> None:
        self.reason = reason
        self._leave(CloseCode.PROTOCOL, reason)

    def failed(self, reason: str, retry_after_s: float) -> None:
        self.reason = reason

    def closed(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = self.reason or reason

    def _say(self, message: ClientMessage) -> None:
        assert self.connection is not None, "it is set before the connection runs"
        self.connection.send(message)

    def _leave(self, code: CloseCode, reason: str) -> None:
        assert self.connection is not None, "it is set before the connection runs"
        self.connection.close(code, reason)
