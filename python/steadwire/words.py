"""The engine's lists, written by bindings/python/generate_words.py: do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TypedDict

from steadwire._units import Duration, Size
from steadwire._word import CauseWord, RankedWord, Word


class State(Word):
    """States of a conn."""

    IDLE = "idle", 0, "made, never opened"
    CONNECTING = "connecting", 1, "a link is being dialled, logged in or resumed"
    ONLINE = "online", 2, "messages flow"
    SUSPECT = "suspect", 3, "the link is late: probed, while a second one is dialled"
    MIGRATING = (
        "migrating",
        4,
        "the server goes away: moving to a second link, the first still works",
    )
    WAITING = "waiting", 5, "between two attempts, by the pace of the last cause"
    OFFLINE = "offline", 6, "the host has no network"
    CLOSED = "closed", 7, "the host closed it; final until opened again"
    FAILED = "failed", 8, "a cause that retrying cannot mend; see it for what to do"


class Phase(RankedWord):
    """Phases of one link, in their order."""

    TOKEN = "token", 0, "credentials asked of the host"
    DNS = "dns", 1, "name being resolved"
    TCP = "tcp", 2, "TCP connecting, addresses raced (RFC 8305)"
    TLS = "tls", 3, "TLS handshake"
    UPGRADE = "upgrade", 4, "HTTP upgrade sent (RFC 6455 section 4)"
    AUTH = "auth", 5, "login inside the transport (XMPP SASL)"
    RESUME = "resume", 6, "claiming the session"
    OPENING = "opening", 7, "opening messages sent, waiting for ready_when"
    UP = "up", 8, "carries messages"
    CLOSING = "closing", 9, "close handshake running"
    DEAD = "dead", 10, "over; has a cause"


class Proof(RankedWord):
    """Evidence for a message, weakest first."""

    NONE = "none", 0, "no evidence yet"
    STORED = "stored", 1, "committed to the outbox's store"
    WRITTEN = "written", 2, "its last byte was handed to the socket"
    RECEIVED = "received", 3, "the peer's WebSocket layer has taken it: its PONG barrier came back"
    ACCEPTED = "accepted", 4, "the peer's session layer has acknowledged it"
    PROCESSED = "processed", 5, "the peer's application has said so"


class MessageState(Word):
    """States of a message in the outbox."""

    QUEUED = "queued", 0, "waiting for its turn on a link"
    INFLIGHT = "inflight", 1, "written, the wanted proof is not there yet"
    HELD = "held", 2, "kept back by the host"
    SETTLED = "settled", 3, "has the proof it wants"
    EXPIRED = "expired", 4, "its ttl ended before it was written"
    CANCELLED = "cancelled", 5, "taken back by the host before it was written"
    DROPPED = "dropped", 6, "removed by the outbox_overflow policy or replaced by its key"
    DEAD = "dead", 7, "refused by the peer link after link: a poison message"
    UNKNOWN = "unknown", 8, "bytes of it left and nobody can say whether they arrived"


class Guarantee(Word):
    """How often a message may reach the peer."""

    AT_LEAST_ONCE = "at_least_once", 0, "replayed until proven; the peer may see it twice"
    AT_MOST_ONCE = "at_most_once", 1, "never written twice; its fate may end as unknown"
    EXACTLY_ONCE = "exactly_once", 2, "numbered and acknowledged: needs the session profile"


class CauseClass(Word):
    """What a cause means for retrying."""

    HOST = "host", 0, "asked for by the host, or a plain step forward"
    LOCAL = "local", 1, "this machine or its network"
    PATH = "path", 2, "somewhere between us and the server"
    SERVER_PLANNED = "server_planned", 3, "the server said that it goes away"
    OVERLOAD = "overload", 4, "the server has no room, or is not there"
    AUTH = "auth", 5, "credentials were not accepted"
    PROTOCOL = "protocol", 6, "the two ends do not understand each other"


class EventKind(Word):
    """Kinds of events."""

    STATE = "state", 0, "the state changed"
    MESSAGE = "message", 1, "a message arrived"
    PROOF = "proof", 2, "messages up to a number have a proof"
    MESSAGE_ENDED = "message_ended", 3, "one outbound message ended without the proof it wanted"
    REPLAY = "replay", 4, "unproven messages are sent again on a new link"
    GAP = "gap", 5, "inbound messages are missing, or may be"
    PAUSED = "paused", 6, "the host does not drain: reading from the socket has stopped"
    RESUMED = "resumed", 7, "the host drains again: reading goes on"
    OUTBOX_ROOM = "outbox_room", 8, "a full outbox has room again"
    NO_PONG = "no_pong", 9, "the peer answers no PING: messages settle at written"
    STALE = "stale", 10, "no message for max_silence although the link answers"
    CREDENTIALS_NEEDED = "credentials_needed", 11, "answer with stw_conn_supply"
    RETRY = "retry", 12, "an attempt failed while others go on: why, and when the next one is due"
    STORE = "store", 13, "the outbox file: recovered, replaced, full, failed or well again"
    DOWNGRADED = (
        "downgraded",
        14,
        "the server does not speak steadwire.v1: the plain profile is used",
    )
    SESSION_STALE = (
        "session_stale",
        15,
        "the server has lost the session: a new one begins, what was inflight may arrive twice",
    )
    CLOSED = "closed", 16, "the conn has ended; its last event"


class GapReason(Word):
    """Why inbound messages may be missing."""

    NEW_LINK = "new_link", 0, "a new plain link: the server may have sent messages in between"
    OVERFLOW = "overflow", 1, "messages were dropped by inbound_overflow"
    REMOVED = "removed", 2, "the server took them back before they were sent"
    REPLAY_LOST = "replay_lost", 3, "the server could not keep them until the session went on"
    SESSION_LOST = "session_lost", 4, "the session was lost: how many is not known"


class Lane(Word):
    """Lanes of an outbox: the control lane goes first."""

    DATA = "data", 0, "the usual lane"
    CONTROL = "control", 1, "urgent messages: ahead of every message of the data lane"


class StoreHealth(Word):
    """What has happened to the outbox's file."""

    OK = "ok", 0, "messages are kept again"
    RECOVERED = "recovered", 1, "messages of an earlier process were found and will be sent"
    ADOPTED = "adopted", 2, "messages of a process that has died were taken over"
    MOVED_ASIDE = "moved_aside", 3, "the file was damaged: kept under another name, a new one began"
    REWRITTEN = "rewritten", 4, "writing failed once: everything was written to a new file"
    FULL = "full", 5, "the disk is full: sends are refused until there is space"
    FAILED = "failed", 6, "the file cannot be written: sends are refused, what waits is in memory"


class Edit(Word):
    """What can be done to a message in an outbox."""

    CANCEL = "cancel", 0, "take it back: it ends as cancelled; a parked one is forgotten"
    HOLD = "hold", 1, "park it until it is released; others pass"
    RELEASE = "release", 2, "put a held one at the end of its lane"
    REQUEUE = "requeue", 3, "put a dead one, or one of unknown fate, at the end of its lane"
    PRIORITISE = "prioritise", 4, "move a queued or parked one to the end of the control lane"
    DEMOTE = "demote", 5, "move a queued or parked one to the end of the data lane"


class Cause(CauseWord):
    """Why a state changed or a link ended."""

    REQUESTED = "requested", 0, "host", "the host asked for it", "nothing"
    READY = "ready", 1, "host", "a link became ready", "nothing"
    RECOVERED = (
        "recovered",
        2,
        "host",
        "the suspected link answered: a false alarm",
        "nothing; many of these mean a slow peer or path",
    )
    RETRY_DUE = "retry_due", 3, "host", "the time of the next attempt came", "nothing"
    GOAWAY = "goaway", 4, "server_planned", "the server asked us to move", "nothing"
    NET_UP = "net_up", 5, "local", "the network came back", "nothing"
    NET_DOWN = "net_down", 6, "local", "the host lost its network", "check the machine's network"
    IP_CHANGED = "ip_changed", 7, "local", "the local address or route changed", "nothing"
    SUSPEND_RESUME = "suspend_resume", 8, "local", "the machine slept", "nothing"
    HEARTBEAT_TIMEOUT = (
        "heartbeat_timeout",
        9,
        "path",
        "the peer stopped answering: a zombie link",
        "check NAT, proxy and load balancer idle timeouts on the path",
    )
    STALE = (
        "stale",
        10,
        "path",
        "no message for max_silence although the link answers",
        "check the subscriptions; max_silence and stale_action set what happens",
    )
    IDLE_CUT_SUSPECTED = (
        "idle_cut_suspected",
        11,
        "path",
        "the link died after an idle time that has killed links before",
        "set heartbeat_interval below that time",
    )
    DNS_NXDOMAIN = (
        "dns_nxdomain",
        12,
        "path",
        "the name does not exist",
        "check the host name in url",
    )
    DNS_TIMEOUT = (
        "dns_timeout",
        13,
        "path",
        "the resolver did not answer in time",
        "check the machine's resolver",
    )
    DNS_SERVFAIL = (
        "dns_servfail",
        14,
        "path",
        "the resolver could not answer",
        "check the machine's resolver",
    )
    TCP_REFUSED = (
        "tcp_refused",
        15,
        "overload",
        "nothing listens at this address",
        "check that the server runs and the port in url",
    )
    TCP_TIMEOUT = (
        "tcp_timeout",
        16,
        "overload",
        "no answer to the TCP connect",
        "check firewalls and the address in url",
    )
    TCP_RESET = (
        "tcp_reset",
        17,
        "path",
        "connection reset before it was up",
        "check the server's log and any proxy between",
    )
    NET_UNREACHABLE = (
        "net_unreachable",
        18,
        "local",
        "no route to the server",
        "check the machine's network and routes",
    )
    PROXY_REFUSED = (
        "proxy_refused",
        19,
        "path",
        "the HTTP proxy refused to connect us",
        "check the option proxy and the proxy's rules",
    )
    PROXY_AUTH = (
        "proxy_auth",
        20,
        "auth",
        "the HTTP proxy asks for credentials",
        "put user:password into the option proxy",
    )
    TLS_EXPIRED = (
        "tls_expired",
        21,
        "protocol",
        "the certificate is expired or not yet valid",
        "renew the server's certificate; check this machine's clock",
    )
    TLS_NAME = (
        "tls_name",
        22,
        "protocol",
        "the certificate is for another name",
        "use the name in the certificate, or set server_name",
    )
    TLS_UNTRUSTED = (
        "tls_untrusted",
        23,
        "protocol",
        "the certificate's chain does not lead to a trusted CA",
        "set ca_file to the CA that signed the server's certificate",
    )
    TLS_PROTOCOL = (
        "tls_protocol",
        24,
        "protocol",
        "no common TLS version or cipher, or the peer does not speak TLS",
        "the server must offer TLS 1.2 or later on this port",
    )
    TLS_ALERT = (
        "tls_alert",
        25,
        "protocol",
        "the server refused the TLS handshake",
        "check client_cert and the server's log",
    )
    TLS_TIMEOUT = (
        "tls_timeout",
        26,
        "overload",
        "the TLS handshake did not finish",
        "check the server's load; open_timeout bounds an attempt",
    )
    HTTP_401 = (
        "http_401",
        27,
        "auth",
        "the server wants other credentials",
        "check the credentials in headers or those supplied",
    )
    HTTP_403 = (
        "http_403",
        28,
        "auth",
        "the server forbids this client",
        "check the account's rights and the option origin",
    )
    HTTP_4XX = (
        "http_4xx",
        29,
        "protocol",
        "the server refused the request",
        "check the path and query of url",
    )
    HTTP_429 = "http_429", 30, "overload", "too many requests", "nothing: paced"
    HTTP_5XX = (
        "http_5xx",
        31,
        "overload",
        "the server or its proxy is failing",
        "check the server; Retry-After is obeyed",
    )
    HTTP_REDIRECT = (
        "http_redirect",
        32,
        "protocol",
        "the server sent us elsewhere; redirects are not followed",
        "put the address it names into url",
    )
    UPGRADE_INVALID = (
        "upgrade_invalid",
        33,
        "protocol",
        "the answer is no valid WebSocket upgrade (RFC 6455 section 4.1)",
        "check that url leads to a WebSocket server",
    )
    UPGRADE_TIMEOUT = (
        "upgrade_timeout",
        34,
        "overload",
        "connected, but the upgrade was never answered",
        "check the server's load; open_timeout bounds an attempt",
    )
    UPGRADE_EOF = (
        "upgrade_eof",
        35,
        "overload",
        "the connection ended before the upgrade was answered",
        "check the server's log",
    )
    AUTH_FAILED = "auth_failed", 36, "auth", "the login was refused", "check the credentials"
    NO_MECHANISM = (
        "no_mechanism",
        37,
        "auth",
        "the server offers no way to log in that may be used",
        "see the detail for what it offers and what each would need",
    )
    HOST_UNKNOWN = (
        "host_unknown",
        38,
        "protocol",
        "the server does not serve the domain of the address",
        "check the domain in url, and where its name leads",
    )
    AUTH_EXPIRING = (
        "auth_expiring",
        39,
        "host",
        "the credentials end soon: moving to a link with fresh ones",
        "nothing",
    )
    TOKEN_FAILED = (
        "token_failed",
        40,
        "auth",
        "the host supplied no credentials in time",
        "answer credentials_needed with stw_conn_supply within credentials_timeout",
    )
    READY_TIMEOUT = (
        "ready_timeout",
        41,
        "auth",
        "ready_when did not match within ready_timeout",
        "check the opening messages and the pattern of ready_when",
    )
    STREAM_ERROR = (
        "stream_error",
        42,
        "protocol",
        "the XMPP stream ended with an error",
        "see the condition in the detail",
    )
    CLOSE_NORMAL = (
        "close_normal",
        43,
        "server_planned",
        "closed with 1000, or the stream was closed",
        "nothing",
    )
    GOING_AWAY = "going_away", 44, "server_planned", "closed with 1001 or reset", "nothing"
    RESTART = (
        "restart",
        45,
        "server_planned",
        "closed with 1012 or system-shutdown: the server restarts",
        "nothing; a close reason r=<ms>;w=<ms> is obeyed",
    )
    TRY_LATER = (
        "try_later",
        46,
        "overload",
        "closed with 1013 or resource-constraint: try again later",
        "nothing; a close reason r=<ms>;w=<ms> is obeyed",
    )
    POLICY = (
        "policy",
        47,
        "auth",
        "closed with 1008 or policy-violation: against the server's policy",
        "see the close reason",
    )
    TOO_BIG = (
        "too_big",
        48,
        "protocol",
        "closed with 1009 or as over the stanza limit: a message was too big",
        "send smaller messages",
    )
    BAD_PAYLOAD = (
        "bad_payload",
        49,
        "protocol",
        "closed with 1003, 1007 or not-well-formed: the server did not accept a message",
        "check what is sent",
    )
    PEER_PROTOCOL = (
        "peer_protocol",
        50,
        "protocol",
        "closed with 1002, 1010 or bad-format: the server says that we broke the protocol",
        "check proxies between; report it with a recording",
    )
    SERVER_ERROR = (
        "server_error",
        51,
        "overload",
        "closed with 1011, 1014 or internal-server-error",
        "check the server's log",
    )
    CLOSE_OTHER = (
        "close_other",
        52,
        "overload",
        "closed with another code",
        "map the code with the option causes",
    )
    REPLACED = (
        "replaced",
        53,
        "protocol",
        "closed with 4409 or conflict: another client uses the same identity",
        "give each client its own login",
    )
    ABNORMAL_FIN = (
        "abnormal_fin",
        54,
        "path",
        "the connection ended without a close frame",
        "check for crashes of the server and proxies that cut links",
    )
    ABNORMAL_RST = (
        "abnormal_rst",
        55,
        "path",
        "the connection was reset",
        "check for crashes of the server and proxies that cut links",
    )
    FRAME_ERROR = (
        "frame_error",
        56,
        "protocol",
        "the server broke the WebSocket or XMPP protocol",
        "see the detail for the rule; report it to the server's authors",
    )
    INBOUND_TOO_BIG = (
        "inbound_too_big",
        57,
        "protocol",
        "the server sent a message over max_message",
        "raise max_message",
    )
    SESSION_ERROR = (
        "session_error",
        58,
        "protocol",
        "the session protocol was broken",
        "see the detail",
    )
    RESUME_REFUSED = (
        "resume_refused",
        59,
        "protocol",
        "the server has forgotten the session",
        "nothing; unproven messages are replayed",
    )
    STORE_FAILED = (
        "store_failed",
        60,
        "local",
        "the outbox file cannot be written",
        "see the detail; check the disk",
    )
    CONFIG = "config", 61, "local", "a local setting cannot work", "see the detail"
    OVERLOAD_LOCAL = (
        "overload_local",
        62,
        "local",
        "this process is out of descriptors or memory",
        "raise the limit the detail names",
    )
    LOCAL_STOP = "local_stop", 63, "host", "the engine was stopped", "nothing"
    SUPERSEDED = "superseded", 64, "host", "another link of this conn was used", "nothing"


class Options(TypedDict, total=False):
    """Options of a conn: the keyword arguments of connect()."""

    # What logs and telemetry call the conn. (up to 64 bytes of UTF-8 without control characters)
    name: str | PathLike[str]
    # Headers of the HTTP upgrade by name. A name given again replaces its value. (up to 64; names
    # are tokens, values printable ASCII; none that the handshake writes)
    headers: Mapping[str, str] | Mapping[int, str]
    # Subprotocols offered to the server, the preferred one first. (tokens, up to 64 of them)
    subprotocols: str | Sequence[str]
    # The header Origin, for servers that check it. (printable ASCII, up to 8 KiB)
    origin: str | PathLike[str]
    # The header User-Agent; none if empty. (printable ASCII, up to 8 KiB)
    user_agent: str | PathLike[str]
    # PEM file of the authorities that are trusted, in place of the system's. (a path of up to 4095
    # bytes)
    ca_file: str | PathLike[str]
    # PEM file of the certificate shown to the server; needs client_key. (a path of up to 4095
    # bytes)
    client_cert: str | PathLike[str]
    # PEM file of the key of client_cert. (a path of up to 4095 bytes)
    client_key: str | PathLike[str]
    # The name asked for by SNI and looked for in the certificate, in place of the url's host. (a
    # host name without port)
    server_name: str | PathLike[str]
    # Takes any certificate. For tests: anybody on the path can read and change everything. (default
    # false; true | false)
    insecure: bool
    # HTTP proxy to go through with CONNECT. The environment's proxies are not used. (HOST:PORT or
    # USER:PASSWORD@HOST:PORT)
    proxy: str | PathLike[str]
    # How long an attempt waits for them before it fails with token_failed. (default 5s; 100ms ..
    # 10min; s)
    credentials_timeout: Duration
    # How long one attempt may take, from name resolution to the upgrade. Doubled, up to 120 s, each
    # time that a server is reached and has no room. (default 5s; 100ms .. 10min; s)
    open_timeout: Duration
    # How long closing waits for proofs and for the close handshake; 0: not at all. (default 5s; 0
    # .. 10min; s)
    close_timeout: Duration
    # What shows that the server has accepted the opening messages: a call of the host, or the first
    # inbound message that matches (prefix: alone matches any). Online and replay wait for it.
    # Empty: nothing to wait for. (host | equals:TEXT | prefix:TEXT | contains:TEXT)
    ready_when: str | PathLike[str]
    # How long a link waits for ready_when before it fails with ready_timeout. (default 5s; 100ms ..
    # 10min; s)
    ready_timeout: Duration
    # ping: WebSocket PINGs find dead links and prove what was received. off: only the transport can
    # tell that a link is dead, and messages settle at written. (default ping; ping | off)
    heartbeat: str
    # A link on which nothing was heard for so long is asked. Traffic needs no heartbeat. Where
    # links die of shorter silences it is shortened by itself, to 5 s at the least. (default 15s;
    # 100ms .. 1h; s)
    heartbeat_interval: Duration
    # The interval once no message went either way for a minute; the next one brings back
    # heartbeat_interval. A radio or a laptop sleeps longer, and a link that died meanwhile is found
    # later: 4min instead of 15s saves nine tenths of the energy and adds up to 4 min. auto: learnt
    # for each network and endpoint, 25 s to 4.5 min. 0: no other. (default 0; auto | 0 | 100ms ..
    # 1h; s)
    heartbeat_idle_interval: Duration
    # A question without an answer for so long makes a link suspect, for three times as long dead.
    # auto (or 0): learnt from round trips, 1.2 s to 10 s. (default auto; auto | 0 | 100ms .. 10min;
    # s)
    heartbeat_timeout: Duration
    # No message for so long although the link answers: the event stale, then stale_action. 0:
    # silence is fine. (default 0; 0 | 100ms .. 24h; s)
    max_silence: Duration
    # What follows the event stale: nothing, the opening messages again, or a new link. (default
    # event; event | opening | relink)
    stale_action: str
    # The first window in which an attempt falls at random; each later one is twice as long. 4s
    # suits fleets of thousands. (default 1s; 1ms .. 10min; s)
    retry_window: Duration
    # The longest window; at least retry_window. Ten times as long for a server that is reached and
    # has no room. A longer wait that the server asks for is obeyed. (default 60s; 1ms .. 1h; s)
    retry_cap: Duration
    # auto: a suspect link is backed by a second one, which takes over if it is ready before the
    # first answers. off: for servers that allow one connection. (default auto; auto | off)
    hedge: str
    # What a close code of this server means for retrying; host: it ends the conn. (close codes 1000
    # .. 4999 (not 1006, 1015) -> host | local | path | server_planned | overload | auth | protocol)
    causes: Mapping[str, str] | Mapping[int, str]
    # session: steadwire.v1 is offered to the server: messages are numbered, acknowledged and
    # resumed on both sides. plain: any WebSocket server. (default plain; plain | session)
    profile: str
    # Lets exactly_once messages go, as at_least_once ones, to a server that does not speak
    # steadwire.v1; otherwise they wait for one that does. (default false; true | false)
    allow_downgrade: bool
    # How often a message may reach the peer, unless its send says otherwise. exactly_once needs
    # profile = session. (default at_least_once; at_least_once | at_most_once | exactly_once)
    guarantee: str
    # What becomes of messages that were under way when a session was lost: sent again, parked until
    # the host decides, or ended as unknown. (default replay; replay | ask | fail)
    unknown_fate: str
    # What the file of outbox survives. durable: the loss of power too; a message is sent once the
    # disk has it. process: the end of the process; the last moments may be missing after a loss of
    # power. (default durable; durable | process)
    durability: str
    # Messages that may wait for their proof. (default 10000; 1 .. 10000000)
    outbox_messages: int
    # Bytes of messages that may wait for their proof. No message can be larger. (default 64MiB;
    # 1KiB .. 16GiB; By)
    outbox_bytes: Size
    # A send into a full outbox is refused, or taken while the oldest unsent message or the new one
    # is dropped, each one an event. coalesce: refused too, unless it has a key: those are taken up
    # to twice the bound, so that they can replace unsent messages. (default reject; reject |
    # drop_oldest | drop_newest | coalesce)
    outbox_overflow: str
    # Dead messages, and those of unknown fate, that stay listed for a decision; beyond it, or
    # beyond outbox_bytes of their own, the oldest is forgotten. (default 1000; 0 .. 1000000)
    dead_letters: int
    # The largest message in either direction. A larger one that is sent is refused; one that
    # arrives ends the link with inbound_too_big. (default 16MiB; 1 .. 1GiB; By)
    max_message: Size
    # Bytes of inbound messages kept while the host does not drain; then inbound_overflow. One
    # message may exceed it, up to max_message. (default 4MiB; 64KiB .. 1GiB; By)
    inbound_buffer: Size
    # What happens at inbound_buffer: reading from the socket stops, or the oldest messages go, or
    # all but the latest of each inbound_key. Each one dropped counts in a gap event. (default
    # pause; pause | drop_oldest | latest_by_key)
    inbound_overflow: str
    # Which bytes of an inbound message are its key: the first N, or all before the first C. Used by
    # latest_by_key. (prefix:N (N = 1 .. 255) | until:C (C = one byte))
    inbound_key: str | PathLike[str]
    # When an inbound message counts as processed. auto: when the loop asks for the next one.
    # manual: when message.ack() says so. (default auto; auto | manual)
    processed: str
