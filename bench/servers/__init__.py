"""The servers that are measured: each one is started as its own process or processes."""
