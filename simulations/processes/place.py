"""The folder of such a federation: certificates, keys, who is active, where to listen."""

import datetime
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from federation.ids import PartyId
from simulations.ports import free_ports


@dataclass(frozen=True)
class Place:
    """Paths and ports of one federation in `path`."""

    path: Path
    port: int
    private_port: int

    def node(self, party: str) -> Path:
        """The folder of one node."""
        return self.path / party

    def active(self) -> dict[int, PartyId]:
        """Flower's numbers of the nodes that may take part now."""
        text = (self.path / "active.json").read_text("utf-8")
        return {int(number): PartyId(party) for number, party in json.loads(text).items()}

    def set_active(self, active: dict[int, PartyId]) -> None:
        """Replace the list, as a revocation would."""
        temporary = self.path / "active.new"
        temporary.write_text(json.dumps(active), "utf-8")
        temporary.replace(self.path / "active.json")


def make(path: Path, parties: list[str]) -> Place:
    """Certificates and node keys for `parties`, and two free ports."""
    for folder in (path / "pki", path / "logs", path / "secrets", *(path / party for party in parties)):
        folder.mkdir(parents=True, exist_ok=True)
    _certificates(path / "pki")
    for party in parties:
        key = ec.generate_private_key(ec.SECP384R1())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        (path / party / "supernode.key").write_bytes(private)
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        (path / party / "supernode.pub").write_bytes(public)
    place = Place(path, *free_ports(2))
    (path / "ports.json").write_text(json.dumps([place.port, place.private_port]), "utf-8")
    (path / "parties.json").write_text(json.dumps(parties), "utf-8")
    place.set_active({})
    return place


def read(path: Path) -> Place:
    """The place that `make` made."""
    return Place(path, *json.loads((path / "ports.json").read_text("utf-8")))


def _certificates(folder: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    ca_key, server_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    for file, subject, key, extension in (
        ("ca.crt", ca_name, ca_key, x509.BasicConstraints(ca=True, path_length=0)),
        ("server.crt", server_name, server_key, names),
    ):
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(extension, critical=file == "ca.crt")
            .sign(ca_key, hashes.SHA384())
        )
        (folder / file).write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
