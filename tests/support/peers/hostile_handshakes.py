"""Servers that are hostile before the WebSocket connection is up: TCP and HTTP (RFC 6455 section
4)."""

from __future__ import annotations

import asyncio

from peers import ws
from peers.hostile_base import PATIENCE_S, Peer, Scenario, scenario, table

SLOW_BYTE_S = 0.5
HANDSHAKE_BOUND_S = PATIENCE_S + 1.5


@scenario("tcp_timeout", bound_s=HANDSHAKE_BOUND_S)
async def never_accept(_peer: Peer) -> None:
    """The listen queue is full, so the kernel drops every SYN: nobody ever gets here."""


@scenario("upgrade_timeout", bound_s=HANDSHAKE_BOUND_S)
async def accept_silent(peer: Peer) -> None:
    """Accepts, reads the request, never answers."""
    await peer.request()
    await peer.until_gone()


@scenario("upgrade_timeout", bound_s=HANDSHAKE_BOUND_S)
async def slow_handshake(peer: Peer) -> None:
    """A correct answer, one byte every half second."""
    for byte in ws.switching(await peer.request()):
        await peer.send(bytes([byte]))
        await asyncio.sleep(SLOW_BYTE_S)


@scenario("upgrade_invalid", "upgrade_timeout", bound_s=HANDSHAKE_BOUND_S)
async def endless_headers(peer: Peer) -> None:
    """Header after header, no empty line."""
    await peer.request()
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        await peer.send(b"X-Filler: " + b"a" * 1000 + b"\r\n")


@scenario("upgrade_invalid", "upgrade_timeout", bound_s=HANDSHAKE_BOUND_S)
async def endless_status_line(peer: Peer) -> None:
    """A status line without an end."""
    await peer.request()
    await peer.send(b"HTTP/1.1 101 ")
    while True:
        await peer.send(b"a" * 1000)


@scenario("upgrade_invalid", "upgrade_timeout", bound_s=HANDSHAKE_BOUND_S)
async def informational_flood(peer: Peer) -> None:
    """1xx answers for ever, never the final one."""
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 40)


@scenario("upgrade_invalid")
async def wrong_accept(peer: Peer) -> None:
    """101 with the hash of another key."""
    await peer.request()
    await peer.send(ws.switching(ws.Request("GET", "/", {"sec-websocket-key": "other"})))
    await peer.until_gone()


@scenario("upgrade_invalid")
async def no_accept(peer: Peer) -> None:
    """101 without Sec-WebSocket-Accept."""
    await peer.request()
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    await peer.send(ws.response("101 Switching Protocols", headers))
    await peer.until_gone()


@scenario("upgrade_invalid")
async def no_upgrade_header(peer: Peer) -> None:
    """101 with the right hash but without Upgrade."""
    key = ws.accept_key((await peer.request()).headers["sec-websocket-key"])
    headers = [("Connection", "Upgrade"), ("Sec-WebSocket-Accept", key)]
    await peer.send(ws.response("101 Switching Protocols", headers))
    await peer.until_gone()


@scenario("upgrade_invalid")
async def unasked_extension(peer: Peer) -> None:
    """101 that turns on an extension which nobody offered."""
    extra = [("Sec-WebSocket-Extensions", "x-steadwire-unasked")]
    await peer.send(ws.switching(await peer.request(), extra))
    await peer.until_gone()


@scenario("upgrade_invalid")
async def unasked_subprotocol(peer: Peer) -> None:
    """101 that chooses a subprotocol which nobody offered."""
    extra = [("Sec-WebSocket-Protocol", "x-steadwire-unasked")]
    await peer.send(ws.switching(await peer.request(), extra))
    await peer.until_gone()


@scenario("http_redirect", most_connects=3)
async def redirect_loop(peer: Peer) -> None:
    """302 to itself."""
    host = (await peer.request()).headers["host"]
    headers = [("Location", f"http://{host}/again"), ("Content-Length", "0")]
    await peer.send(ws.response("302 Found", headers))
    await peer.until_gone()


@scenario("http_401")
async def huge_401_body(peer: Peer) -> None:
    """401 with a body of 200 MiB."""
    await peer.request()
    size = 200 * 2**20
    await peer.send(ws.response("401 Unauthorized", [("Content-Length", str(size))]))
    for _ in range(size // 2**16):
        await peer.send(b"a" * 2**16)


@scenario("upgrade_invalid")
async def ok_200(peer: Peer) -> None:
    """A web page instead of an upgrade."""
    await peer.request()
    page = b"<html>welcome</html>"
    headers = [("Content-Type", "text/html"), ("Content-Length", str(len(page)))]
    await peer.send(ws.response("200 OK", headers, page))
    await peer.until_gone()


@scenario("upgrade_invalid")
async def http_1_0(peer: Peer) -> None:
    """An otherwise correct 101 in HTTP/1.0."""
    answer = ws.switching(await peer.request())
    await peer.send(answer.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    await peer.until_gone()


@scenario("upgrade_invalid", "upgrade_eof")
async def garbage(peer: Peer) -> None:
    """Another protocol altogether."""
    await peer.request()
    await peer.send(b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(range(256)) * 4)


@scenario("upgrade_eof")
async def eof_before_answer(peer: Peer) -> None:
    """FIN instead of an answer."""
    await peer.request()


@scenario("tcp_reset", "upgrade_eof")
async def rst_before_answer(peer: Peer) -> None:
    """RST instead of an answer."""
    await peer.request()
    peer.reset()


@scenario("upgrade_eof")
async def eof_in_headers(peer: Peer) -> None:
    """FIN in the middle of the 101."""
    await peer.send(ws.switching(await peer.request())[:40])


@scenario("abnormal_fin", bound_s=10.0, most_connects=14)
async def flap(peer: Peer) -> None:
    """A correct upgrade, then FIN at once, every time: the pace must grow."""
    await peer.upgrade()
    peer.end()
    await peer.until_gone()


SCENARIOS: dict[str, Scenario] = table(list(globals().values()))
