"""A certificate authority of the tests' own, and the certificates that it issues."""

import datetime
import ipaddress
import json
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """Where a certificate and its key are, both in PEM."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server needs to show it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def kinesis_local(self) -> Path:
        """The same in the form that kinesis-local reads."""
        path = self.certificate.with_suffix(".json")
        path.write_text(json.dumps({"server": {"cert": self.certificate.read_text(), "key": self.key.read_text()}}))
        return path


class Authority:
    """Issues certificates; `ca_file` is its own, which whoever trusts it needs."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory, self.name = directory, name
        directory.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = named(name)
        self.subject = subject
        builder = (self.builder(subject, self.key.public_key(), -DAY, DAY)
                   .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True))
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(pem(builder.sign(self.key, hashes.SHA256())))

    def builder(self, subject: x509.Name, key, begin: datetime.timedelta, end: datetime.timedelta) -> x509.CertificateBuilder:
        """A certificate that is valid between two moments, seen from now."""
        now = datetime.datetime.now(datetime.UTC)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.subject).public_key(key)
                .serial_number(x509.random_serial_number()).not_valid_before(now + begin).not_valid_after(now + end))

    def issue(self, name: str, hosts: list[str], begin: datetime.timedelta = -DAY, end: datetime.timedelta = DAY) -> Certificate:
        """A server's certificate for names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (self.builder(named(name), key.public_key(), begin, end)
                   .add_extension(x509.SubjectAlternativeName([general(host) for host in hosts]), critical=False)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True))
        issued = Certificate(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        issued.certificate.write_bytes(pem(builder.sign(self.key, hashes.SHA256())))
        issued.key.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return issued


def named(name: str) -> x509.Name:
    """A distinguished name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"millpond interop {name}")])


def general(host: str) -> x509.GeneralName:
    """A host as it stands in a certificate: an address or a name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)
