"""TLS servers that a client must refuse, and good certificates.

`async with certs.serve("expired") as server:` gives `server.url`, `server.ca_file` (the only CA to
trust), host and port. `CASES` is the one table of them. `good_pem` makes a certificate of `trustme`
for interop.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.x509.oid import ExtendedKeyUsageOID

from peers import cert_servers
from peers.cert_factory import (
    DAY,
    HOSTS,
    Identity,
    make_ca,
    make_leaf,
    resign_with_sha1,
    weak_rsa_key,
    write_pem,
)
from peers.cert_servers import Listener

WRONG_WILDCARDS = ("*", "*host", "l*t", "local*", "*.localhost", "*.*")
WRONG_NULS = ("localhost\0.example.org", "example.org\0localhost")


@dataclass(frozen=True)
class Workshop:
    """The trusted CA of one server, and the folder for its files."""

    folder: Path
    ca: Identity

    def pem(self, leaf: Identity, *chain: Identity) -> Path:
        """The PEM file of a server that sends this chain."""
        others = [one.certificate_pem for one in chain]
        path = self.folder / "server.pem"
        return write_pem(path, leaf.key_pem, leaf.certificate_pem, *others)


@dataclass(frozen=True)
class Case:
    """One bad TLS server.

    `causes`: a client must report one of them within `bound_s`. `verify_codes`: OpenSSL's
    X509_V_ERR codes of which a client built on it sees one; empty where the fault is not in the
    certificate.
    """

    name: str
    listen: Callable[[Workshop], Listener]
    causes: frozenset[str]
    verify_codes: frozenset[int]
    bound_s: float
    host: str


@dataclass(frozen=True)
class Location:
    """Where a TLS server listens."""

    host: str
    port: int
    ca_file: Path

    @property
    def url(self) -> str:
        """The wss URL."""
        return f"wss://{self.host}:{self.port}/"


CASES: dict[str, Case] = {}


def case(
    *causes: str, codes: tuple[int, ...] = (), bound_s: float = 3.0, host: str = "localhost"
) -> Callable[[Callable[[Workshop], Listener]], Callable[[Workshop], Listener]]:
    """Enters a listener into the table under its function's name."""

    def enter(listen: Callable[[Workshop], Listener]) -> Callable[[Workshop], Listener]:
        name = listen.__name__
        CASES[name] = Case(name, listen, frozenset(causes), frozenset(codes), bound_s, host)
        return listen

    return enter


@contextlib.asynccontextmanager
async def serve(name: str) -> AsyncIterator[Location]:
    """Serves one case on a free loopback port until the block ends."""
    chosen = CASES[name]
    with tempfile.TemporaryDirectory(prefix="bad-tls-") as folder:
        workshop = Workshop(Path(folder), make_ca("steadwire test CA"))
        ca_file = workshop.folder / "ca.pem"
        ca_file.write_bytes(workshop.ca.certificate_pem)
        async with chosen.listen(workshop) as port:
            yield Location(chosen.host, port, ca_file)


def good_pem(folder: Path, *hosts: str) -> tuple[Path, Path]:
    """Writes a server's PEM file and its CA's with `trustme`; answers (server, CA)."""
    ca = trustme.CA()
    server, root = folder / "good-server.pem", folder / "good-ca.pem"
    ca.cert_pem.write_to_path(root)
    ca.issue_cert(*(hosts or HOSTS)).private_key_and_cert_chain_pem.write_to_path(server)
    server.chmod(0o600)
    return server, root


# Who signed it


@case("tls_untrusted", codes=(18,))
def self_signed(shop: Workshop) -> Listener:
    """Signed by itself."""
    return cert_servers.tls(shop.pem(make_leaf(None)))


@case("tls_untrusted", codes=(19, 20))
def unknown_ca(shop: Workshop) -> Listener:
    """A sound chain to a root that the client does not know, which is sent along."""
    other = make_ca("another CA")
    return cert_servers.tls(shop.pem(make_leaf(other), other))


@case("tls_untrusted", codes=(7, 20))
def same_name_ca(shop: Workshop) -> Listener:
    """Signed by a CA that has the trusted one's name but not its key."""
    return cert_servers.tls(shop.pem(make_leaf(make_ca("steadwire test CA"))))


@case("tls_untrusted", codes=(20, 21))
def missing_intermediate(shop: Workshop) -> Listener:
    """The chain leads to the trusted root over an intermediate that is not sent."""
    return cert_servers.tls(shop.pem(make_leaf(make_ca("intermediate", shop.ca))))


@case("tls_untrusted", codes=(24, 79))
def issuer_is_no_ca(shop: Workshop) -> Listener:
    """Issued by somebody's server certificate."""
    middle = make_leaf(shop.ca, subject="another server")
    return cert_servers.tls(shop.pem(make_leaf(middle), middle))


@case("tls_untrusted", codes=(26,))
def wrong_usage(shop: Workshop) -> Listener:
    """A certificate for clients only."""
    leaf = make_leaf(shop.ca, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    return cert_servers.tls(shop.pem(leaf))


# How strong it is


@case("tls_untrusted", codes=(68,))
def sha1_signature(shop: Workshop) -> Listener:
    """A SHA-1 signature."""
    leaf = make_leaf(None)
    signed = resign_with_sha1(shop.folder, leaf, shop.ca)
    return cert_servers.tls(write_pem(shop.folder / "server.pem", leaf.key_pem, signed))


@case("tls_untrusted", codes=(66,))
def rsa_1024(shop: Workshop) -> Listener:
    """An RSA key of 1,024 bits."""
    return cert_servers.tls(shop.pem(make_leaf(shop.ca, key=weak_rsa_key())))


# Whose and when


@case("tls_expired", codes=(10,))
def expired(shop: Workshop) -> Listener:
    """Valid until yesterday."""
    return cert_servers.tls(shop.pem(make_leaf(shop.ca, valid_from=-30 * DAY, valid_to=-DAY)))


@case("tls_expired", codes=(9,))
def not_yet_valid(shop: Workshop) -> Listener:
    """Valid from tomorrow."""
    return cert_servers.tls(shop.pem(make_leaf(shop.ca, valid_from=DAY)))


@case("tls_name", codes=(62,))
def wrong_host(shop: Workshop) -> Listener:
    """For another name."""
    return cert_servers.tls(shop.pem(make_leaf(shop.ca, ["example.org"])))


@case("tls_name", codes=(64,), host="127.0.0.1")
def wrong_address(shop: Workshop) -> Listener:
    """For another address, while the right one stands there as a name."""
    return cert_servers.tls(shop.pem(make_leaf(shop.ca, ["192.0.2.1", "localhost"])))


@case("tls_name", codes=(62,))
def nul_in_name(shop: Workshop) -> Listener:
    """Names that are right up to, or from, a NUL byte."""
    return cert_servers.tls(shop.pem(make_leaf(shop.ca, WRONG_NULS)))


@case("tls_name", codes=(62,))
def wildcard_misuse(shop: Workshop) -> Listener:
    """Wildcards that may not stand for the host."""
    return cert_servers.tls(shop.pem(make_leaf(shop.ca, WRONG_WILDCARDS)))


# TLS itself


@case("tls_protocol", "tls_alert")
def tls_1_0_only(shop: Workshop) -> Listener:
    """Nothing newer than TLS 1.0."""
    return cert_servers.alerting(shop.pem(make_leaf(shop.ca)), "TLSv1")


@case("tls_protocol", "tls_alert")
def tls_1_1_only(shop: Workshop) -> Listener:
    """Nothing newer than TLS 1.1."""
    return cert_servers.alerting(shop.pem(make_leaf(shop.ca)), "TLSv1_1")


@case("tls_protocol")
def plain_http(_shop: Workshop) -> Listener:
    """HTTP on the TLS port."""
    return cert_servers.instead_of_tls(cert_servers.HTTP_ANSWER)


@case("tls_alert")
def handshake_alert(_shop: Workshop) -> Listener:
    """A fatal alert as the only answer."""
    return cert_servers.instead_of_tls(cert_servers.ALERT_HANDSHAKE_FAILURE)


@case("tls_alert")
def client_cert_demanded(shop: Workshop) -> Listener:
    """Refuses clients without a certificate."""
    pem = shop.pem(make_leaf(shop.ca))
    return cert_servers.alerting(pem, "TLSv1_2", wants_client_cert=True)


@case("tls_protocol", "tls_alert", "tcp_reset", "upgrade_eof")
def truncated_handshake(_shop: Workshop) -> Listener:
    """FIN in the middle of the ServerHello."""
    return cert_servers.instead_of_tls(cert_servers.SERVER_HELLO_START)


@case("tls_timeout", bound_s=6.5)
def silent_handshake(_shop: Workshop) -> Listener:
    """Takes the ClientHello and is silent."""
    return cert_servers.instead_of_tls(b"", stays=True)


@case("tls_timeout", bound_s=6.5)
def stalled_handshake(_shop: Workshop) -> Listener:
    """Half a ServerHello, then silence."""
    return cert_servers.instead_of_tls(cert_servers.SERVER_HELLO_START, stays=True)


@case("abnormal_fin", "abnormal_rst")
def no_close_notify(shop: Workshop) -> Listener:
    """Ends TCP after the upgrade without ending TLS."""
    return cert_servers.truncating(shop.pem(make_leaf(shop.ca)))


@case("online", "tls_alert", "tls_protocol", "abnormal_fin", "abnormal_rst")
def renegotiation(shop: Workshop) -> Listener:
    """Asks for a new TLS 1.2 handshake in the middle of the stream: never a hang."""
    return cert_servers.renegotiating(shop.pem(make_leaf(shop.ca)))
