"""Makes certificates, right ones and wrong ones, in a folder of PEM files.

A server's PEM file holds its key, its certificate and the chain, in this order.
"""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = datetime.timedelta(days=1)
HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Identity:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key alone, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def new_key() -> PrivateKey:
    """A key nobody would object to."""
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make_ca(common_name: str, issuer: Identity | None = None) -> Identity:
    """A root, or with an issuer an intermediate."""
    key = new_key()
    builder = _begin(common_name, issuer, key, -DAY, 30 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    return Identity(_sign(builder, issuer, key), key)


def make_leaf(
    issuer: Identity | None,
    hosts: Sequence[str] = HOSTS,
    *,
    subject: str = "steadwire test server",
    key: PrivateKey | None = None,
    valid_from: datetime.timedelta = -DAY,
    valid_to: datetime.timedelta = 30 * DAY,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Identity:
    """A server's certificate; without an issuer it is self-signed. Validity is relative to now."""
    own = key or new_key()
    builder = _begin(subject, issuer, own, valid_from, valid_to)
    names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Identity(_sign(builder, issuer, own), own)


def _begin(
    common_name: str,
    issuer: Identity | None,
    key: PrivateKey,
    valid_from: datetime.timedelta,
    valid_to: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    issuer_name = issuer.certificate.subject if issuer else _name(common_name)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid_from)
        .not_valid_after(now + valid_to)
    )


def _sign(
    builder: x509.CertificateBuilder, issuer: Identity | None, own: PrivateKey
) -> x509.Certificate:
    return builder.sign(issuer.key if issuer else own, hashes.SHA256())


def weak_rsa_key() -> PrivateKey:
    """An RSA key of 1,024 bits."""
    return rsa.generate_private_key(65537, 1024)


def resign_with_sha1(folder: Path, leaf: Identity, issuer: Identity) -> bytes:
    """The PEM of a self-signed leaf, signed anew with SHA-1, which only the openssl program still
    does."""
    paths = {name: folder / f"sha1-{name}.pem" for name in ("leaf", "ca", "ca-key")}
    paths["leaf"].write_bytes(leaf.certificate_pem)
    paths["ca"].write_bytes(issuer.certificate_pem)
    paths["ca-key"].write_bytes(issuer.key_pem)
    command = ["openssl", "x509", "-in", str(paths["leaf"]), "-CA", str(paths["ca"])]
    command += ["-CAkey", str(paths["ca-key"]), "-sha1", "-days", "30"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def write_pem(path: Path, key_pem: bytes, *certificates: bytes) -> Path:
    """Writes a server's PEM file."""
    path.write_bytes(key_pem + b"".join(certificates))
    path.chmod(0o600)
    return path
