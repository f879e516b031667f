"""runtime/certificates.py: a pair is loaded whole, or refused with a sentence that says why."""

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from runtime.certificates import CertificateError, PairFiles, load_pair, pair_of, refuse_bad_certificate
from runtime.schema import GatewaySettings
from tests.support.tls import write_pair


def test_a_good_pair_tells_whom_it_speaks_for_and_how_long(tmp_path: Path) -> None:
    until = datetime(2031, 5, 6, tzinfo=UTC)
    pair = load_pair(write_pair(tmp_path, "chat.example.org", "192.0.2.1", not_after=until))
    assert pair.names == ("chat.example.org", "192.0.2.1")
    assert pair.valid_until == until.timestamp()
    assert pair.valid_from < pair.valid_until
    assert pair.doubt(pair.valid_from) is None
    assert pair.doubt(pair.valid_until - 1) is None


def test_an_expired_certificate_is_loaded_and_doubted(tmp_path: Path) -> None:
    pair = load_pair(write_pair(tmp_path))
    assert pair.doubt(pair.valid_until) == "expired"
    assert pair.doubt(pair.valid_from - 1) == "not valid yet"


def test_only_tls_1_2_and_newer_with_forward_secrecy_and_nothing_renegotiated(tmp_path: Path) -> None:
    context = load_pair(write_pair(tmp_path)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    ciphers = {each["name"] for each in context.get_ciphers()}
    assert ciphers
    assert all(name.startswith(("TLS_", "ECDHE-")) and ("GCM" in name or "CHACHA20" in name) for name in ciphers)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode is ssl.CERT_NONE


def _remove_certificate(files: PairFiles) -> None:
    files.certificate.unlink()


def _remove_key(files: PairFiles) -> None:
    files.key.unlink()


def _open_key_to_others(files: PairFiles) -> None:
    files.key.chmod(0o644)


def _put_another_key(files: PairFiles) -> None:
    files.key.write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())


def _put_rubbish_as_certificate(files: PairFiles) -> None:
    files.certificate.write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")


def _swap_the_two(files: PairFiles) -> None:
    certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
    files.certificate.write_bytes(key)
    files.key.write_bytes(certificate)


def _put_rubbish_as_key(files: PairFiles) -> None:
    files.key.write_text("rubbish")


def _encrypt_key(files: PairFiles) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
        )
    )


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_remove_certificate, r"^gateway\.tls_certificate .*server\.pem cannot be read: No such file or directory$"),
        (_remove_key, r"^gateway\.tls_key .*server\.key cannot be read: No such file or directory$"),
        (_open_key_to_others, r"^gateway\.tls_key .* can be read by every user of this machine; chmod o= .*server\.key$"),
        (_put_another_key, r"^gateway\.tls_key .* is not the key of the certificate in gateway\.tls_certificate .*server\.pem$"),
        (_put_rubbish_as_certificate, r"^gateway\.tls_certificate .* holds no certificate in PEM$"),
        (_swap_the_two, r"^gateway\.tls_certificate .* holds no certificate in PEM$"),
        (_put_rubbish_as_key, r"^gateway\.tls_certificate .* and gateway\.tls_key cannot be used: .+$"),
        (_encrypt_key, r"^gateway\.tls_key .* is encrypted, and nobody is here to type its password; use one that is not$"),
    ],
)
def test_a_pair_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, spoil: Callable[[PairFiles], None], sentence: str
) -> None:
    files = write_pair(tmp_path)
    spoil(files)
    with pytest.raises(CertificateError, match=sentence):
        load_pair(files)


def test_a_key_that_a_group_can_read_is_allowed(tmp_path: Path) -> None:
    files = write_pair(tmp_path)
    files.key.chmod(0o640)
    assert load_pair(files).names


def test_the_stamp_changes_with_either_file_and_with_a_link_that_is_turned(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    write_pair(tmp_path / "old")
    write_pair(tmp_path / "new")
    (tmp_path / "live").symlink_to("old")
    files = PairFiles(tmp_path / "live" / "server.pem", tmp_path / "live" / "server.key")
    stamps = [files.stamp()]
    assert files.stamp() == stamps[0]
    (tmp_path / "turned").symlink_to("new")
    os.replace(tmp_path / "turned", tmp_path / "live")
    stamps.append(files.stamp())
    files.key.unlink()
    stamps.append(files.stamp())
    assert stamps[2][1] is None
    assert len(set(stamps)) == 3


def test_settings_without_a_certificate_name_no_pair(tmp_path: Path) -> None:
    assert pair_of(GatewaySettings()) is None
    refuse_bad_certificate(GatewaySettings())
    named = GatewaySettings(tls_certificate=str(tmp_path / "a"), tls_key=str(tmp_path / "b"))
    assert pair_of(named) == PairFiles(tmp_path / "a", tmp_path / "b")
    with pytest.raises(CertificateError):
        refuse_bad_certificate(named)
