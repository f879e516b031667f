"""A server's certificate and its key, from two files: loaded whole, or refused with a sentence that says why."""

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from cryptography import x509

from runtime.schema import GatewaySettings

# A chain of four certificates is 8 KiB; what is larger was named by mistake and is not read into memory.
_FILE_BYTES_MAX: Final = 256 * 1024

# TLS 1.2: forward secrecy and authenticated encryption, which is what TLS 1.3 has only (its suites are OpenSSL's own).
TLS_1_2_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Which state of the files this is: inode, size and time of change of each; None for one that is not there."""


class CertificateError(Exception):
    """The pair cannot be used; the message is one sentence that names the setting and the file."""


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Where the two are: a chain in PEM, the server's own certificate first, and its key."""

    certificate: Path
    key: Path

    def stamp(self) -> Stamp:
        """Changes whenever either file does, also when a link is turned to another one."""
        return tuple(_stamp(path) for path in (self.certificate, self.key))


def pair_of(settings: GatewaySettings) -> PairFiles | None:
    """The files that the settings name; None for a gateway without TLS of its own."""
    return PairFiles(Path(settings.tls_certificate), Path(settings.tls_key)) if settings.tls_certificate else None


@dataclass(frozen=True, slots=True)
class LoadedPair:
    """A pair that fits together, ready to serve."""

    context: ssl.SSLContext
    valid_from: float
    """Seconds since 1970."""
    valid_until: float
    names: tuple[str, ...]
    """Hosts and addresses that the certificate speaks for."""

    def doubt(self, now: float) -> str | None:
        """Why clients will not believe it now, though it is in order; None if they may."""
        if now >= self.valid_until:
            return "expired"
        return "not valid yet" if now < self.valid_from else None


def load_pair(files: PairFiles) -> LoadedPair:
    """Read both and see that they belong together.  Blocking, about a millisecond.  Raises `CertificateError`."""
    _refuse_readable_key(files.key)
    certificate = _own_certificate(files.certificate)
    context = _server_context()
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: _refuse_encrypted(files.key))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            whose = f"the certificate in gateway.tls_certificate {files.certificate}"
            raise CertificateError(f"gateway.tls_key {files.key} is not the key of {whose}") from error
        reason = (error.reason or str(error)).replace("_", " ").lower()
        sentence = f"gateway.tls_certificate {files.certificate} and gateway.tls_key cannot be used: {reason}"
        raise CertificateError(sentence) from error
    except OSError as error:
        raise CertificateError(f"gateway.tls_key {files.key} cannot be read: {error.strerror}") from error
    return LoadedPair(
        context,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        _names_of(certificate),
    )


def refuse_bad_certificate(settings: GatewaySettings) -> None:
    """Raise `CertificateError` where the settings name a pair that cannot be used; for who starts many that would each say so."""
    files = pair_of(settings)
    if files is not None:
        load_pair(files)


def _server_context() -> ssl.SSLContext:
    """TLS 1.2 or newer, as Mozilla's intermediate profile has it; no client certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_CIPHERS)
    # A peer that may renegotiate makes us sign as often as it likes.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # One, of OpenSSL's two: it saves a client that comes back the certificate and us the signature, once.  None would
    # be slower for all: nothing then acknowledges the client's last word, and its request waits 40 ms (Nagle).
    context.num_tickets = 1
    # Browsers offer HTTP/2 first, and a websocket begins with HTTP/1.1.
    context.set_alpn_protocols(["http/1.1"])
    return context


def _refuse_readable_key(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CertificateError(f"gateway.tls_key {path} cannot be read: {error.strerror}") from error
    if mode & stat.S_IROTH:
        raise CertificateError(f"gateway.tls_key {path} can be read by every user of this machine; chmod o= {path}")


def _refuse_encrypted(path: Path) -> NoReturn:
    """In place of OpenSSL's question on the terminal, which would wait for ever."""
    raise CertificateError(f"gateway.tls_key {path} is encrypted, and nobody is here to type its password; use one that is not")


def _own_certificate(path: Path) -> x509.Certificate:
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise CertificateError(f"gateway.tls_certificate {path} cannot be read: {error.strerror}") from error
    try:
        return x509.load_pem_x509_certificates(text)[0]
    except ValueError as error:
        raise CertificateError(f"gateway.tls_certificate {path} holds no certificate in PEM") from error


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
