#include "client/option.h"

#include <string.h>

#include "client/error.h"
#include "client/judge.h"
#include "client/nearest.h"

#define ROW(name, type, unit, standard, range, text)                                               \
  { name, STW_OPTION_##type, unit, standard, range, text, false, false }
#define SECRET(name, type, range, text)                                                            \
  { name, STW_OPTION_##type, "", "", range, text, true, false }

#define HEADER_VALUE "printable ASCII, up to 8 KiB"
#define FILE_PATH "a path of up to 4095 bytes"

static const stw_option table[] = {
    [STWI_OPTION_URL] =
        SECRET("url", LIST, "ws:// or wss://, up to 64 of them",
               "Where to connect. With several the next one is tried when an attempt fails; ws and "
               "wss may be mixed. Errors and telemetry never show the query."),
    [STWI_OPTION_NAME] =
        ROW("name", TEXT, "", "", "up to 64 bytes of UTF-8 without control characters",
            "What logs and telemetry call the conn."),
    [STWI_OPTION_HEADERS] =
        SECRET("headers", MAP,
               "up to 64; names are tokens, values printable ASCII; none that the handshake writes",
               "Headers of the HTTP upgrade by name. A name given again replaces its value."),
    [STWI_OPTION_SUBPROTOCOLS] =
        SECRET("subprotocols", LIST, "tokens, up to 64 of them",
               "Subprotocols offered to the server, the preferred one first."),
    [STWI_OPTION_ORIGIN] =
        ROW("origin", TEXT, "", "", HEADER_VALUE, "The header Origin, for servers that check it."),
    [STWI_OPTION_USER_AGENT] =
        ROW("user_agent", TEXT, "", "", HEADER_VALUE, "The header User-Agent; none if empty."),
    [STWI_OPTION_CA_FILE] =
        ROW("ca_file", TEXT, "", "", FILE_PATH,
            "PEM file of the authorities that are trusted, in place of the system's."),
    [STWI_OPTION_CLIENT_CERT] =
        ROW("client_cert", TEXT, "", "", FILE_PATH,
            "PEM file of the certificate shown to the server; needs client_key."),
    [STWI_OPTION_CLIENT_KEY] =
        ROW("client_key", TEXT, "", "", FILE_PATH, "PEM file of the key of client_cert."),
    [STWI_OPTION_SERVER_NAME] =
        ROW("server_name", TEXT, "", "", "a host name without port",
            "The name asked for by SNI and looked for in the certificate, in place of the url's "
            "host."),
    [STWI_OPTION_INSECURE] =
        ROW("insecure", BOOL, "", "false", "true | false",
            "Takes any certificate. For tests: anybody on the path can read and change "
            "everything."),
    [STWI_OPTION_PROXY] =
        SECRET("proxy", TEXT, "HOST:PORT or USER:PASSWORD@HOST:PORT",
               "HTTP proxy to go through with CONNECT. The environment's proxies are not used."),
    [STWI_OPTION_CREDENTIALS] =
        ROW("credentials", CHOICE, "", "off", "off | host",
            "host: the event credentials_needed asks for credentials before an attempt that has "
            "none."),
    [STWI_OPTION_CREDENTIALS_TIMEOUT] =
        ROW("credentials_timeout", DURATION, "s", "5s", "100ms .. 10min",
            "How long an attempt waits for them before it fails with token_failed."),
    [STWI_OPTION_OPEN_TIMEOUT] = ROW(
        "open_timeout", DURATION, "s", "5s", "100ms .. 10min",
        "How long one attempt may take, from name resolution to the upgrade. Doubled, up to 120 "
        "s, each time that a server is reached and has no room."),
    [STWI_OPTION_CLOSE_TIMEOUT] =
        ROW("close_timeout", DURATION, "s", "5s", "0 .. 10min",
            "How long closing waits for proofs and for the close handshake; 0: not at all."),
    [STWI_OPTION_CONNECT_TIMEOUT] =
        {"connect_timeout", STW_OPTION_DURATION, "s", "30s", "0 | 100ms .. 24h",
         "How long connect in Python, or conn:wait in Lua, waits for the first online; 0 waits "
         "for ever.",
         false, true},
    [STWI_OPTION_READY_WHEN] =
        SECRET("ready_when", TEXT, "host | equals:TEXT | prefix:TEXT | contains:TEXT",
               "What shows that the server has accepted the opening messages: a call of the host, "
               "or the first inbound message that matches (prefix: alone matches any). Online and "
               "replay wait for it. Empty: nothing to wait for."),
    [STWI_OPTION_READY_TIMEOUT] =
        ROW("ready_timeout", DURATION, "s", "5s", "100ms .. 10min",
            "How long a link waits for ready_when before it fails with ready_timeout."),
    [STWI_OPTION_HEARTBEAT] =
        ROW("heartbeat", CHOICE, "", "ping", "ping | off",
            "ping: WebSocket PINGs find dead links and prove what was received. off: only the "
            "transport can tell that a link is dead, and messages settle at written."),
    [STWI_OPTION_HEARTBEAT_INTERVAL] =
        ROW("heartbeat_interval", DURATION, "s", "15s", "100ms .. 1h",
            "A link on which nothing was heard for so long is asked. Traffic needs no heartbeat. "
            "Where links die of shorter silences it is shortened by itself, to 5 s at the least."),
    [STWI_OPTION_HEARTBEAT_IDLE_INTERVAL] =
        ROW("heartbeat_idle_interval", DURATION, "s", "0", "auto | 0 | 100ms .. 1h",
            "The interval once no message went either way for a minute; the next one brings back "
            "heartbeat_interval. A radio or a laptop sleeps longer, and a link that died meanwhile "
            "is found later: 4min instead of 15s saves nine tenths of the energy and adds up to 4 "
            "min. auto: learnt for each network and endpoint, 25 s to 4.5 min. 0: no other."),
    [STWI_OPTION_HEARTBEAT_TIMEOUT] =
        ROW("heartbeat_timeout", DURATION, "s", "auto", "auto | 0 | 100ms .. 10min",
            "A question without an answer for so long makes a link suspect, for three times as "
            "long dead. auto (or 0): learnt from round trips, 1.2 s to 10 s."),
    [STWI_OPTION_MAX_SILENCE] =
        ROW("max_silence", DURATION, "s", "0", "0 | 100ms .. 24h",
            "No message for so long although the link answers: the event stale, then stale_action. "
            "0: silence is fine."),
    [STWI_OPTION_STALE_ACTION] =
        ROW("stale_action", CHOICE, "", "event", "event | opening | relink",
            "What follows the event stale: nothing, the opening messages again, or a new link."),
    [STWI_OPTION_RETRY_WINDOW] =
        ROW("retry_window", DURATION, "s", "1s", "1ms .. 10min",
            "The first window in which an attempt falls at random; each later one is twice as "
            "long. 4s suits fleets of thousands."),
    [STWI_OPTION_RETRY_CAP] =
        ROW("retry_cap", DURATION, "s", "60s", "1ms .. 1h",
            "The longest window; at least retry_window. Ten times as long for a server that is "
            "reached and has no room. A longer wait that the server asks for is obeyed."),
    [STWI_OPTION_HEDGE] = ROW(
        "hedge", CHOICE, "", "auto", "auto | off",
        "auto: a suspect link is backed by a second one, which takes over if it is ready before "
        "the first answers. off: for servers that allow one connection."),
    [STWI_OPTION_CAUSES] =
        ROW("causes", MAP, "", "",
            "close codes 1000 .. 4999 (not 1006, 1015) -> host | local | path | server_planned | "
            "overload | auth | protocol",
            "What a close code of this server means for retrying; host: it ends the conn."),
    [STWI_OPTION_PROFILE] =
        ROW("profile", CHOICE, "", "plain", "plain | session",
            "session: steadwire.v1 is offered to the server: messages are numbered, acknowledged "
            "and resumed on both sides. plain: any WebSocket server."),
    [STWI_OPTION_ALLOW_DOWNGRADE] =
        ROW("allow_downgrade", BOOL, "", "false", "true | false",
            "Lets exactly_once messages go, as at_least_once ones, to a server that does not speak "
            "steadwire.v1; otherwise they wait for one that does."),
    [STWI_OPTION_GUARANTEE] =
        ROW("guarantee", CHOICE, "", "at_least_once", "at_least_once | at_most_once | exactly_once",
            "How often a message may reach the peer, unless its send says otherwise. exactly_once "
            "needs profile = session."),
    [STWI_OPTION_UNKNOWN_FATE] =
        ROW("unknown_fate", CHOICE, "", "replay", "replay | ask | fail",
            "What becomes of messages that were under way when a session was lost: sent again, "
            "parked until the host decides, or ended as unknown."),
    [STWI_OPTION_OUTBOX] =
        ROW("outbox", TEXT, "", "", FILE_PATH,
            "File that keeps the messages until they are proven. A folder, with / at its end, "
            "gives each process a file of its own there and takes over those of processes that "
            "have died. Empty: messages live in memory only."),
    [STWI_OPTION_DURABILITY] =
        ROW("durability", CHOICE, "", "durable", "durable | process",
            "What the file of outbox survives. durable: the loss of power too; a message is sent "
            "once the disk has it. process: the end of the process; the last moments may be "
            "missing after a loss of power."),
    [STWI_OPTION_OUTBOX_MESSAGES] = ROW("outbox_messages", COUNT, "1", "10000", "1 .. 10000000",
                                        "Messages that may wait for their proof."),
    [STWI_OPTION_OUTBOX_BYTES] =
        ROW("outbox_bytes", BYTES, "By", "64MiB", "1KiB .. 16GiB",
            "Bytes of messages that may wait for their proof. No message can be larger."),
    [STWI_OPTION_OUTBOX_OVERFLOW] = ROW(
        "outbox_overflow", CHOICE, "", "reject", "reject | drop_oldest | drop_newest | coalesce",
        "A send into a full outbox is refused, or taken while the oldest unsent message or the new "
        "one is dropped, each one an event. coalesce: refused too, unless it has a key: those are "
        "taken up to twice the bound, so that they can replace unsent messages."),
    [STWI_OPTION_DEAD_LETTERS] =
        ROW("dead_letters", COUNT, "1", "1000", "0 .. 1000000",
            "Dead messages, and those of unknown fate, that stay listed for a decision; beyond it, "
            "or beyond outbox_bytes of their own, the oldest is forgotten."),
    [STWI_OPTION_MAX_MESSAGE] =
        ROW("max_message", BYTES, "By", "16MiB", "1 .. 1GiB",
            "The largest message in either direction. A larger one that is sent is refused; one "
            "that arrives ends the link with inbound_too_big."),
    [STWI_OPTION_INBOUND_BUFFER] =
        ROW("inbound_buffer", BYTES, "By", "4MiB", "64KiB .. 1GiB",
            "Bytes of inbound messages kept while the host does not drain; then inbound_overflow. "
            "One message may exceed it, up to max_message."),
    [STWI_OPTION_INBOUND_OVERFLOW] =
        ROW("inbound_overflow", CHOICE, "", "pause", "pause | drop_oldest | latest_by_key",
            "What happens at inbound_buffer: reading from the socket stops, or the oldest messages "
            "go, or all but the latest of each inbound_key. Each one dropped counts in a gap "
            "event."),
    [STWI_OPTION_INBOUND_KEY] =
        ROW("inbound_key", TEXT, "", "", "prefix:N (N = 1 .. 255) | until:C (C = one byte)",
            "Which bytes of an inbound message are its key: the first N, or all before the first "
            "C. Used by latest_by_key."),
    [STWI_OPTION_INBOUND_FROM] =
        ROW("inbound_from", TEXT, "", "", "N | N,M (whole numbers)",
            "The numbers up to which the host has committed inbound messages, of the data lane and "
            "of the control lane: what comes after them is delivered. Goes before what the file "
            "of outbox says. Needs profile = session."),
    [STWI_OPTION_PROCESSED] =
        {"processed", STW_OPTION_CHOICE, "", "auto", "auto | manual",
         "When an inbound message counts as processed. auto: when the loop asks for the next one. "
         "manual: when message.ack() says so.",
         false, true},
};

_Static_assert(sizeof table / sizeof *table == STWI_OPTION_TOTAL, "one row for each id");

const stw_option *stw_option_at(size_t index) {
  return index < STWI_OPTION_TOTAL ? &table[index] : NULL;
}

const stw_option *stwi_option_row(enum stwi_option_id id) {
  return &table[id];
}

stw_status stwi_option_find(const char *name, enum stwi_option_id *id) {
  struct stwi_nearest nearest = stwi_nearest_to(name);
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++) {
    if (strcmp(name, table[i].name) == 0) {
      *id = (enum stwi_option_id)i;
      return STW_OK;
    }
    stwi_nearest_offer(&nearest, table[i].name, strlen(table[i].name));
  }
  return stwi_error(STW_E_OPTION, "no option is called \"%s\"; the nearest is %.*s",
                    stwi_show(name).text, (int)nearest.size, nearest.name);
}
