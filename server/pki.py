"""The federation's own certificate authority, with one TLS certificate for the coordinator."""

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from federation.enrolment import certificate_fingerprint
from federation.errors import EnrolmentError
from server.settings import ServerFolder, ServerSettings, write_private

AUTHORITY_DAYS = 3650
SERVER_DAYS = 365
RENEW_BEFORE = timedelta(days=30)
SKEW = timedelta(hours=1)
"""Certificates begin to hold a little earlier, for partners whose clock is slow."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def create_authority(folder: ServerFolder, settings: ServerSettings, at: datetime) -> None:
    """Make the authority's key and certificate, which every node pins, and the server's."""
    key = ec.generate_private_key(ec.SECP384R1())
    subject = _name(f"Paceline authority of {settings.name}")
    certificate = (
        _builder(subject, subject, key.public_key(), (at, AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    write_private(folder.ca_key, _pem(key))
    write_private(folder.ca_certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    issue_server_certificate(folder, settings, at)


def issue_server_certificate(folder: ServerFolder, settings: ServerSettings, at: datetime) -> None:
    """A new TLS key with a certificate for `settings.host` and this machine's loopback."""
    authority = _load_certificate(folder.ca_certificate)
    authority_key = _load_key(folder.ca_key)
    key = ec.generate_private_key(ec.SECP384R1())
    hosts = dict.fromkeys((settings.host, *LOOPBACK))
    certificate = (
        _builder(_name(settings.host[:64]), authority.subject, key.public_key(), (at, SERVER_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA384())
    )
    write_private(folder.server_key, _pem(key))
    write_private(folder.server_certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def renew_server_certificate(folder: ServerFolder, settings: ServerSettings, at: datetime) -> bool:
    """Issue a new TLS certificate if the present one ends soon or is for another host; says whether it did."""
    present = _load_certificate(folder.server_certificate)
    names = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if present.not_valid_after_utc - at > RENEW_BEFORE and _host(settings.host) in names:
        return False
    issue_server_certificate(folder, settings, at)
    return True


def authority_fingerprint(folder: ServerFolder) -> str:
    """What tokens pin."""
    return certificate_fingerprint(_read(folder.ca_certificate))


def check_node_key(openssh: bytes) -> None:
    """Raise `EnrolmentError` unless these are one NIST-curve public key in OpenSSH's format, all that Flower takes."""
    try:
        key = serialization.load_ssh_public_key(openssh)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EnrolmentError("the SuperNode key is no OpenSSH public key; run paceline node join again.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EnrolmentError("the SuperNode key is of another kind; expected a NIST curve (ecdsa-sha2-nistp384).")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: tuple[datetime, int]
) -> x509.CertificateBuilder:
    begins, days = life
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - SKEW)
        .not_valid_after(begins + timedelta(days=days))
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise EnrolmentError(f"{path} is no certificate any more; restore it from a backup.") from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:
        raise EnrolmentError(f"{path} is no private key any more; restore it from a backup.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise EnrolmentError(f"{path} holds another kind of key; restore it from a backup.")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnrolmentError(f"{path} cannot be read ({error.strerror}); restore it from a backup.") from error
