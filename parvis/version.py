"""`parvis version`: what runs here, for a report of a fault."""

import platform

from parvis import VERSION
from wire.client_messages import PROTOCOL_VERSION
from wire.node_messages import LINK_VERSION


def version() -> None:
    """Say which parvis this is, and which versions of its protocols it speaks."""
    print(f"parvis {VERSION} (client protocol {PROTOCOL_VERSION}, link protocol {LINK_VERSION})")
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
