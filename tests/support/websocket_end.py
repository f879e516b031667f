"""How a raw websocket client's connection ended."""

import pytest
from trio_websocket import ConnectionClosed, WebSocketConnection


async def closed_with(websocket: WebSocketConnection) -> int:
    """Read on until the gateway closes; its code."""
    with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012
        while True:
            await websocket.get_message()
    reason = closed.value.reason
    assert reason is not None
    return int(reason.code)
