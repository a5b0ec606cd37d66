"""TLS listeners for `peers.certs`: correct TLS with a given certificate, and listeners that break
TLS itself."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import ssl
import sys
import termios
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from peers import ws

HOST = "127.0.0.1"
POLL_S = 0.002
HANDSHAKE_LIMIT_S = 5.0
SERVER_HELLO_START = bytes.fromhex("160303007a020000760303") + bytes(20)
ALERT_HANDSHAKE_FAILURE = bytes.fromhex("15030300020228")
HTTP_ANSWER = ws.response("400 Bad Request", [("Content-Length", "0"), ("Connection", "close")])

Listener = AbstractAsyncContextManager[int]
Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server_context(
    pem: Path, version: str = "", *, wants_client_cert: bool = False
) -> ssl.SSLContext:
    """A context that is as lax as OpenSSL can be, so that only the client's checks count.

    `version` pins one ssl.TLSVersion by name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(pem)
    if wants_client_cert:
        context.verify_mode = ssl.CERT_REQUIRED
    if version:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return context


async def answer_upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Completes the upgrade and then only listens."""
    writer.write(ws.switching(await ws.read_request(reader)))
    while await reader.read(4096):
        pass


async def cut_without_close_notify(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Completes the upgrade, then ends TCP without ending TLS: a truncation."""
    writer.write(ws.switching(await ws.read_request(reader)))
    await writer.drain()
    writer.transport.abort()


@contextlib.asynccontextmanager
async def listen(streams: Streams, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Serves until the block ends; yields the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, ValueError):
            await streams(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, HOST, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def tls(pem: Path) -> Listener:
    """A TLS server that completes upgrades."""
    return listen(answer_upgrade, server_context(pem))


@contextlib.asynccontextmanager
async def alerting(
    pem: Path, version: str, *, wants_client_cert: bool = False
) -> AsyncIterator[int]:
    """A server that says with an alert why it refuses a handshake, as asyncio's does not."""
    context = server_context(pem, version, wants_client_cert=wants_client_cert)
    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, 0)) as listener:
        listener.setblocking(False)

        async def accept() -> None:
            while True:
                sock, _address = await loop.sock_accept(listener)
                await asyncio.to_thread(_shake_hands, sock, context)

        task = asyncio.create_task(accept())
        try:
            yield listener.getsockname()[1]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _shake_hands(sock: socket.socket, context: ssl.SSLContext) -> None:
    """One handshake, and then silence until the client ends."""
    sock.settimeout(HANDSHAKE_LIMIT_S)
    with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as stream:
        while stream.recv(4096):
            pass


def truncating(pem: Path) -> Listener:
    """A TLS server that ends without close_notify."""
    return listen(cut_without_close_notify, server_context(pem))


def instead_of_tls(answer: bytes, *, stays: bool = False) -> Listener:
    """Waits for the ClientHello and answers with raw bytes; then FIN, or silence."""

    async def streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        while stays and await reader.read(4096):
            pass

    return listen(streams, None)


@contextlib.asynccontextmanager
async def renegotiating(pem: Path) -> AsyncIterator[int]:
    """TLS 1.2 that asks for a new handshake right after the 101, in the middle of the stream."""
    port = await _free_port()
    command = ["openssl", "s_server", "-tls1_2", "-cert", str(pem), "-cert_chain", str(pem)]
    command += ["-key", str(pem), "-accept", f"{HOST}:{port}"]
    their_keys, our_keys = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=their_keys,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    os.close(their_keys)
    assert process.stdout
    await process.stdout.readuntil(b"ACCEPT")
    script = asyncio.create_task(_renegotiate(process.stdout, our_keys))
    try:
        yield port
    finally:
        script.cancel()
        os.close(our_keys)
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _renegotiate(output: asyncio.StreamReader, keys: int) -> None:
    """s_server sends what it reads to the client, except for a read that is a line `R`."""
    while True:
        printed = await output.readuntil(b"\r\n\r\n")
        request = ws.parse_head(printed[printed.rindex(b"GET ") :])
        for typed in (ws.switching(request), b"R\n"):
            os.write(keys, typed)
            while _unread(keys):
                await asyncio.sleep(POLL_S)


def _unread(pipe: int) -> int:
    """Bytes in a pipe that the other side has not read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


async def _free_port() -> int:
    async with listen(answer_upgrade, None) as port:
        return port
