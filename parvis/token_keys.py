"""The file of token keys that the settings name: opened for a gateway, looked at by `parvis check`."""

from collections.abc import Iterator
from pathlib import Path

from gateway.key_file import KeyFile
from gateway.keys import BadKeys
from parvis.errors import StartError
from parvis.finding import Finding
from runtime.lifecycle import ExitCode
from runtime.schema import TokenSettings


def open_key_file(settings: TokenSettings) -> KeyFile | None:
    """The keys that tokens are checked with; None where none are taken.  Raises `StartError`."""
    if not settings.keys_file:
        return None
    path = Path(settings.keys_file)
    try:
        return KeyFile(path)
    except OSError as error:
        raise StartError(f"tokens.keys_file {path} cannot be read: {error.strerror}", ExitCode.DATA) from error
    except BadKeys as error:
        raise StartError(f"tokens.keys_file {path} cannot be used: {error}", ExitCode.DATA) from error


def examine_token_keys(settings: TokenSettings) -> Iterator[Finding]:
    """What a start would say of the file."""
    try:
        file = open_key_file(settings)
    except StartError as error:
        yield Finding("bad", str(error), error.code)
        return
    if file is None:
        yield Finding("ok", "everybody is a guest: no tokens.keys_file")
        return
    names = ", ".join(f"{key.kid} ({key.algorithm})" for key in file.keys.by_kid.values())
    yield Finding("ok", f"tokens are checked with {names} of {settings.keys_file}")
    secrets = any(key.algorithm == "HS256" for key in file.keys.by_kid.values())
    if secrets and Path(settings.keys_file).stat().st_mode & 0o077:
        yield Finding("note", f"{settings.keys_file} holds a secret and can be read by others; chmod 600 {settings.keys_file}")
