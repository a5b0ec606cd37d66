"""Real XMPP servers for tests: Prosody and ejabberd, without root rights, in a folder of their own.

`with xmpp_server.start("prosody", folder) as server:` gives `server.ports`, `server.ca_file` and
accounts `user0`..`user9` with the password `secret`; both serve `localhost`, its rooms at
`conference.localhost`, and `anonymous.localhost`. `stop` is clean, `kill` is not, `start` again
finds the same data. Run as a program it prints one line of JSON and serves until its input ends.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self

import trustme

DOMAIN = "localhost"
ROOMS = "conference.localhost"
ANONYMOUS = "anonymous.localhost"
USERS = tuple(f"user{number}" for number in range(10))
PASSWORD = "secret"
START_S = 30.0
START_ATTEMPTS = 3
STOP_S = 10.0
CHECK_EVERY_S = 0.02


@dataclass(frozen=True)
class Ports:
    """Where a server listens on 127.0.0.1: STARTTLS required, TLS from the first byte, the same
    with TLS 1.2 only, WebSocket and the same over TLS, and without any TLS."""

    starttls: int
    direct: int
    tls12: int
    ws: int
    wss: int
    plain: int


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    """Below those that the kernel gives to outgoing connections: a server binds seconds later, and
    once more after each restart."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(12000, 32000)
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


class XmppServer(ABC):
    """A server with its folder; made by `make`, not running yet."""

    program = ""

    def __init__(self, folder: Path, resume_s: int) -> None:
        self.folder = folder
        self.resume_s = resume_s
        self.ports = Ports(*_free_ports(6))
        self.ca_file = folder / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None
        self._write_certificates()
        self.configure()

    @classmethod
    def is_installed(cls) -> bool:
        """Can it be started on this machine?"""
        return shutil.which(cls.program) is not None

    @abstractmethod
    def configure(self) -> None:
        """Writes all that it reads at its start."""

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it in the foreground."""

    def environment(self) -> dict[str, str]:
        """Of its process."""
        return dict(os.environ)

    def is_ready(self) -> bool:
        """Does it serve on all ports, with all accounts?"""
        return all(_listens(port) for port in asdict(self.ports).values())

    @property
    def pid(self) -> int:
        """Of its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it serves."""
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        never = threading.Event()
        for _ in range(int(START_S / CHECK_EVERY_S)):
            if self.is_ready():
                return
            if self._process.poll() is not None:
                break
            never.wait(CHECK_EVERY_S)
        self.kill()
        log = (self.folder / "output.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.program} did not start within {START_S} s: {log}")

    def stop(self) -> None:
        """Ends it as its operator would: streams are told."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a power failure would."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """For SIGSTOP and SIGCONT."""
        os.killpg(self.pid, number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_S)

    def _write_certificates(self) -> None:
        ca = trustme.CA()
        # ejabberd sets a timer for the end, and none is longer than 49 days.
        until = datetime.now(UTC) + timedelta(days=7)
        leaf = ca.issue_cert(DOMAIN, ROOMS, ANONYMOUS, not_after=until)
        ca.cert_pem.write_to_path(self.ca_file)
        pem = self.folder / "server.pem"
        leaf.private_key_and_cert_chain_pem.write_to_path(pem)
        pem.chmod(0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Prosody(XmppServer):
    """https://prosody.im, 0.12 in Debian 12."""

    program = "prosody"

    def configure(self) -> None:
        accounts = self.folder / "data" / DOMAIN / "accounts"
        accounts.mkdir(parents=True)
        for user in USERS:
            (accounts / f"{user}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')
        (self.folder / "prosody.cfg.lua").write_text(self._config())

    def _config(self) -> str:
        here, ports = self.folder, self.ports
        tls = f'key = "{here}/server.pem"; certificate = "{here}/server.pem";'
        return f"""
run_as_root = {"true" if os.geteuid() == 0 else "false"}
data_path = "{here}/data"
pidfile = "{here}/prosody.pid"
log = {{ info = "{here}/prosody.log" }}
certificates = "{here}"
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {ports.starttls}, {ports.plain} }}
c2s_direct_tls_ports = {{ {ports.direct}, {ports.tls12} }}
http_ports = {{ {ports.ws} }}
https_ports = {{ {ports.wss} }}
s2s_ports = {{ }}
modules_disabled = {{ "s2s" }}
modules_enabled = {{
  "saslauth"; "tls"; "roster"; "disco"; "ping"; "smacks"; "csi_simple"; "carbons"; "mam";
  "websocket"; "offline"; "version"; "admin_shell"; "blocklist"; "pep"; "time";
}}
admin_shell = false
consider_websocket_secure = true
-- One of the two ports is for tests without TLS; a client that wants TLS does not take less.
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
archive_expires_after = "1d"
max_archive_query_results = 100
smacks_hibernation_time = {self.resume_s}
smacks_max_unacked_stanzas = 5
c2s_stanza_size_limit = 262144
limits = {{ }}
ssl = {{ {tls} }}
c2s_direct_tls_ssl = {{ {tls} [{ports.tls12}] = {{ protocol = "tlsv1_2" }} }}
https_ssl = {{ {tls} }}
VirtualHost "{DOMAIN}"
VirtualHost "{ANONYMOUS}"
  authentication = "anonymous"
Component "{ROOMS}" "muc"
  modules_enabled = {{ "muc_mam" }}
  restrict_room_creation = false
"""

    def command(self) -> list[str]:
        return ["prosody", "-F", "--config", str(self.folder / "prosody.cfg.lua")]


def _ejabberd_code() -> Path | None:
    """Where Debian keeps it; the folder's name has the version."""
    found = sorted(Path("/usr/lib").glob("*/ejabberd-*/ebin"))
    return found[0] if found else None


class Ejabberd(XmppServer):
    """https://www.ejabberd.im, 23.01 in Debian 12: as plain Erlang code, since its script wants to
    be root."""

    program = "erl"

    @classmethod
    def is_installed(cls) -> bool:
        return super().is_installed() and _ejabberd_code() is not None

    def configure(self) -> None:
        (self.folder / "mnesia").mkdir()
        (self.folder / "ejabberd.yml").write_text(json.dumps(self._config(), indent=1))

    def _config(self) -> dict[str, Any]:
        ports = self.ports
        # Its own backlog of 5 makes clients that come together wait for SYN retries.
        here = {"ip": "127.0.0.1", "backlog": 1024}
        common = {**here, "max_stanza_size": 262144, "module": "ejabberd_c2s"}
        no_13 = ["no_sslv3", "no_tlsv1", "no_tlsv1_1", "no_tlsv1_3"]
        handlers = {**here, "module": "ejabberd_http"}
        paths = {"/ws": "ejabberd_http_ws", "/xmpp-websocket": "ejabberd_http_ws"}
        return {
            "hosts": [DOMAIN, ANONYMOUS],
            "loglevel": "notice",
            "log_rotate_count": 0,
            "certfiles": [str(self.folder / "server.pem")],
            "ca_file": str(self.ca_file),
            "auth_password_format": "plain",
            "disable_sasl_mechanisms": ["digest-md5", "X-OAUTH2"],
            "registration_timeout": "infinity",
            "listen": [
                {**common, "port": ports.starttls, "starttls_required": True},
                {**common, "port": ports.direct, "tls": True},
                {**common, "port": ports.tls12, "tls": True, "protocol_options": no_13},
                {**common, "port": ports.plain},
                {**handlers, "port": ports.ws, "request_handlers": paths},
                {**handlers, "port": ports.wss, "tls": True, "request_handlers": paths},
            ],
            "host_config": {ANONYMOUS: {"auth_method": ["anonymous"]}},
            "allow_multiple_connections": True,
            "anonymous_protocol": "sasl_anon",
            "api_permissions": {},
            "shaper_rules": {"max_user_sessions": 100},
            "modules": {
                "mod_blocking": {},
                "mod_caps": {},
                "mod_carboncopy": {},
                "mod_client_state": {},
                "mod_disco": {},
                "mod_last": {},
                "mod_mam": {"default": "always", "request_activates_archiving": False},
                "mod_muc": {
                    "host": ROOMS,
                    "access": "all",
                    "access_create": "all",
                    "access_persistent": "all",
                    "access_mam": "all",
                    "min_message_interval": 0,
                    "default_room_options": {"mam": True},
                },
                "mod_offline": {},
                "mod_ping": {},
                "mod_privacy": {},
                "mod_roster": {},
                "mod_stream_mgmt": {
                    "resume_timeout": f"{self.resume_s} s",
                    "resend_on_timeout": "if_offline",
                    "max_ack_queue": 100000,
                    "queue_type": "ram",
                },
                "mod_version": {},
            },
        }

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "EJABBERD_CONFIG_PATH": str(self.folder / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log"),
            "HOME": str(self.folder),
            "ERL_CRASH_DUMP_SECONDS": "0",
        }

    def is_ready(self) -> bool:
        return (self.folder / "ready").exists() and super().is_ready()

    def start(self) -> None:
        (self.folder / "ready").unlink(missing_ok=True)
        super().start()

    def command(self) -> list[str]:
        code = _ejabberd_code()
        assert code is not None
        users = ",".join(f'<<"{user}">>' for user in USERS)
        register = (
            f'[ejabberd_auth:try_register(U, <<"{DOMAIN}">>, <<"{PASSWORD}">>) || U <- [{users}]],'
            f'file:write_file("{self.folder}/ready", <<>>).'
        )
        # No node name: nothing else on this machine is asked or told.
        libraries = [str(path) for path in sorted(code.parents[1].glob("*/ebin"))]
        return [
            *("erl", "-noinput", "-boot", "start_clean", "+S", "2:2", "-pa", *libraries),
            *("-mnesia", "dir", f'"{self.folder}/mnesia"'),
            *("-s", "ejabberd", "-eval", register),
        ]


SERVERS: dict[str, type[XmppServer]] = {"prosody": Prosody, "ejabberd": Ejabberd}


def start(name: str, folder: Path, resume_s: int = 60) -> XmppServer:
    """A running server of the table above, its files below `folder`; `resume_s` is how long it
    keeps a stream that broke. Tried again where somebody has taken one of its ports meanwhile."""
    for attempt in range(START_ATTEMPTS):
        place = folder / f"{name}-{attempt}"
        place.mkdir()
        server = SERVERS[name](place, resume_s)
        try:
            server.start()
        except RuntimeError:
            if attempt == START_ATTEMPTS - 1:
                raise
        else:
            return server
    raise AssertionError


def main(name: str, feed: IO[str]) -> int:
    """For tests in other languages; 77 where the server is not installed."""
    if not SERVERS[name].is_installed():
        print(f"{name} is not installed", file=sys.stderr)
        return 77
    with tempfile.TemporaryDirectory() as folder, start(name, Path(folder)) as server:
        print(json.dumps({**asdict(server.ports), "ca_file": str(server.ca_file)}), flush=True)
        feed.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin))
