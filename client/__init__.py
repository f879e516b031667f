"""The Python client of a gateway: connect, join, speak, and miss nothing."""
