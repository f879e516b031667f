"""The door: one command, and the wiring of the roles into processes."""

VERSION = "0.1.0"
