"""Many requests at once from one thread: a lean HTTP/1.1 client on asyncio, one request at a time on each connection.

`support.client` judges every byte; this one only finds out how an answer ended: thousands a second are possible.
"""

import asyncio
import json
import time

HEAD_END = b"\r\n\r\n"
BODY_BYTES_KEPT = 2_000_000


class Reply:
    """What became of one request. `whole`: the answer came to the end of its framing. Times are time.monotonic()."""

    def __init__(self, tag=None):
        self.tag = tag
        self.status = 0  # 0: no head came
        self.head = b""
        self.body = b""  # decoded, as far as it came
        self.whole = False
        self.left = False  # we closed the connection on purpose
        self.began = time.monotonic()
        self.first_byte = 0.0
        self.ended = 0.0

    def header(self, name):
        """The value as text, None when absent."""
        wanted = name.lower().encode() + b":"
        for line in self.head.split(b"\r\n")[1:]:
            if line[: len(wanted)].lower() == wanted:
                return line[len(wanted) :].strip().decode("latin-1")
        return None

    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self.json()["error"]["details"]["reason"]

    @property
    def finished_stream(self):
        return self.whole and b"event: message_stop" in self.body

    @property
    def seconds(self):
        return self.ended - self.began


class _Connection(asyncio.Protocol):
    def __init__(self):
        self.transport = None
        self.reply = None
        self.done = None
        self.leave_after = None
        self.closed = False
        self.used = False

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, data, reply, leave_after):
        self.reply, self.leave_after = reply, leave_after
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = bytearray()
        self.state = "head"
        self.need = 0
        self.body = bytearray()
        self.transport.write(data)
        return self.done

    def data_received(self, data):
        reply = self.reply
        if reply is None:
            self.transport.abort()
            return
        if not reply.first_byte:
            reply.first_byte = time.monotonic()
        self.buffer += data
        if self._read():
            reply.whole = True
            self._end()
        elif self.leave_after is not None and len(self.body) >= self.leave_after:
            reply.left = True
            self.transport.abort()
            self._end()

    def _read(self):
        """True when the answer is complete."""
        buffer = self.buffer
        if self.state == "head":
            at = buffer.find(HEAD_END)
            if at < 0:
                return False
            head = bytes(buffer[:at])
            del buffer[: at + 4]
            self.reply.head = head
            self.reply.status = int(head[9:12])
            lowered = head.lower()
            self.keeps = b"\r\nconnection: close" not in lowered
            if b"\r\ntransfer-encoding: chunked" in lowered:
                self.state = "size"
            else:
                at = lowered.find(b"\r\ncontent-length:")
                self.state, self.need = "length", int(lowered[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if self.state == "length":
            taken = min(self.need, len(buffer))
            self.body += buffer[:taken]
            del buffer[:taken]
            self.need -= taken
            return self.need == 0
        at = 0
        while True:
            if self.state == "size":
                end = buffer.find(b"\r\n", at)
                if end < 0:
                    break
                self.need = int(buffer[at:end], 16) + 2
                at = end + 2
                self.state = "data"
            if len(buffer) - at < self.need:
                break
            if self.need == 2:
                return True  # no trailers are sent
            self.body += buffer[at : at + self.need - 2]
            at += self.need
            self.state = "size"
        del buffer[:at]
        return False

    def _end(self):
        reply, self.reply = self.reply, None
        reply.body = bytes(self.body[:BODY_BYTES_KEPT])
        reply.ended = time.monotonic()
        self.used = True
        if not reply.whole or not self.keeps:
            self.closed = True
            self.transport.abort()
        if not self.done.done():
            self.done.set_result(reply)

    def connection_lost(self, _):
        self.closed = True
        if self.reply is not None:
            self._end()


class Caller:
    """One client with at most one connection; `port` may be a function, for a server that moves."""

    def __init__(self, port):
        self.port = port if callable(port) else (lambda: port)
        self.connection = None
        self.connected_to = None

    async def ask(self, data, tag=None, leave_after=None, timeout=120, reply=None):
        """Always a Reply; no exception for a peer that refuses, closes or says nothing."""
        reply = reply or Reply(tag)
        port = self.port()
        if self.connection and (self.connection.closed or self.connected_to != port):
            self.close()
        if not self.connection:
            try:
                _, self.connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
            except OSError:
                reply.ended = time.monotonic()
                return reply
            self.connected_to = port
        connection = self.connection
        connection.keeps = True
        done = connection.ask(data, reply, leave_after)
        try:
            await asyncio.wait_for(asyncio.shield(done), timeout)
        except asyncio.TimeoutError:
            connection.transport.abort()
            await done
        if connection.closed:
            self.connection = None
        return reply

    def close(self):
        if self.connection:
            self.connection.transport.abort()
            self.connection = None


async def all_at_once(ports, requests, timeout=120):
    """Every request on a connection of its own, spread over the ports; the connections are made first."""
    callers = [Caller(ports[number % len(ports)]) for number in range(len(requests))]
    for caller in callers:
        _, caller.connection = await asyncio.get_running_loop().create_connection(
            _Connection, "127.0.0.1", caller.port()
        )
        caller.connected_to = caller.port()
    try:
        return await asyncio.gather(
            *(caller.ask(data, number, timeout=timeout) for number, (caller, data) in enumerate(zip(callers, requests)))
        )
    finally:
        for caller in callers:
            caller.close()


def run(coroutine, timeout):
    """A coroutine to its end, in bounded time."""

    async def bounded():
        return await asyncio.wait_for(coroutine, timeout)

    return asyncio.run(bounded())
