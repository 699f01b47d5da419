"""A scripted upstream: records every request byte and answers what the test tells it to, well formed or not.

    with Upstream() as upstream:
        upstream.handler = lambda call, peer: peer.send(answer(body=b"{}"))
        ...
        assert upstream.calls[0].body == sent

Each connection has a thread; `handler(call, peer)` runs in it once per request. A handler that returns leaves the
connection open for the next request unless it closed it (`peer.cut()`, `peer.reset()`).
"""

import hashlib
import socket
import ssl
import struct
import threading
import time

from support import sse
from support.client import parse_field
from support.timing import seconds

KEEP_BODY_BYTES = 64 << 20  # of longer bodies only digest and size are kept


class Call:
    """One request as it came: `raw_head` and `body` are the exact bytes (body decoded when it was chunked)."""

    def __init__(self, raw_head, connection):
        self.connection = connection  # number of the connection, counted from 1
        self.raw_head = raw_head
        lines = raw_head[:-4].split(b"\r\n")
        self.method, self.target, self.version = lines[0].split(b" ")
        self.headers = [parse_field(line) for line in lines[1:]]
        self.body, self.body_size, self.trailers = b"", 0, []
        self.digest = hashlib.sha256()
        self.complete = False

    def all(self, name):
        name = name.lower().encode()
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values!r}"
        return values[0].decode("latin-1") if values else None

    def __repr__(self):
        return f"<{self.raw_head[:200]!r} + {self.body_size} bytes>"


class Peer:
    """The connection to the gateway, as a handler sees it."""

    def __init__(self, upstream, connection, number):
        self.upstream, self.socket, self.number = upstream, connection, number
        self.closed = False
        self.sent = 0  # bytes the kernel took
        self._buffer = bytearray()

    def send(self, *pieces, pause=0.0):
        """Sends piece by piece; raises OSError once the gateway is gone."""
        for index, piece in enumerate(pieces):
            if index and pause:
                time.sleep(pause)
            view = memoryview(piece)
            while view:
                taken = self.socket.send(view[: 1 << 16])
                self.sent += taken
                view = view[taken:]
        return self

    def stream(self, *events, head=None):
        """Head of an event stream and its first events, each in a chunk of its own."""
        self.send(head or stream_head())
        return self.events(*events)

    def events(self, *events):
        for data in events:
            self.send(b"%x\r\n%s\r\n" % (len(data), data))
        return self

    def end(self):
        return self.send(b"0\r\n\r\n")

    def cut(self):
        """Closes the connection here and now, whatever the framing promised."""
        self.closed = True
        try:
            if not isinstance(self.socket, ssl.SSLSocket):
                self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def reset(self):
        self.closed = True
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def wait_gone(self, timeout=20):
        """Waits until the gateway closes its side; returns the seconds it took, fails after `timeout`."""
        begin = time.monotonic()
        self.socket.settimeout(seconds(timeout))
        try:
            while self.socket.recv(1 << 16):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        except (TimeoutError, socket.timeout):
            raise AssertionError(
                f"the gateway still holds the upstream connection after {seconds(timeout)} s"
            ) from None
        self.closed = True
        self.socket.close()
        return time.monotonic() - begin

    def _fill(self):
        piece = self.socket.recv(1 << 18)
        self.upstream.note_bytes(len(piece))
        self._buffer += piece
        return len(piece)

    def read_until(self, mark, end_is_fine=False):
        """Bytes up to and including the mark; None when the gateway closed before the first byte and may do so."""
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            start = max(0, len(self._buffer) - len(mark) + 1)
            if not self._fill():
                if end_is_fine and not self._buffer:
                    return None
                raise ConnectionError("the gateway closed inside a request")
        data = bytes(self._buffer[: at + len(mark)])
        del self._buffer[: at + len(mark)]
        return data

    def read_call(self):
        head = self.read_until(b"\r\n\r\n", end_is_fine=True)
        return Call(head, self.number) if head is not None else None

    def read_body(self, call):
        kept = []

        def keep(data):
            call.digest.update(data)
            call.body_size += len(data)
            if call.body_size <= KEEP_BODY_BYTES:
                kept.append(data)

        if call.header("transfer-encoding"):
            assert call.header("transfer-encoding").lower() == "chunked" and not call.header("content-length"), call
            while True:
                size = int(self.read_until(b"\r\n")[:-2].split(b";")[0], 16)
                if not size:
                    break
                self._copy(size, keep)
                assert self.read_until(b"\r\n") == b"\r\n"
            while (line := self.read_until(b"\r\n")) != b"\r\n":
                call.trailers.append(line[:-2])
        elif call.header("content-length"):
            self._copy(int(call.header("content-length")), keep)
        call.body = b"".join(kept)
        call.complete = True

    def _copy(self, size, keep):
        while size:
            if not self._buffer and not self._fill():
                raise ConnectionError("the gateway closed inside a body")
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            size -= len(data)
            keep(data)


class Upstream:
    """Listens on 127.0.0.1, port 0. `tls`: an ssl.SSLContext. `read_bodies=False` calls the handler after the head."""

    def __init__(self, handler=None, tls=None, send_buffer=None, read_bodies=True):
        self._tls, self._send_buffer = tls, send_buffer
        self._lock = threading.Condition()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self.port = self._listener.getsockname()[1]
        self._sockets = set()
        self.default = handler or answer_kind
        self.default_read_bodies = read_bodies
        self.connections = 0
        self.tls_failures, self.tls_sessions = [], []  # texts; (server name, version, resumed) per connection
        self.reset()
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self):
        """Forgets what was recorded and goes back to the default handler."""
        with self._lock:
            self.calls, self.problems, self.bytes_received = [], [], 0
            self.handler, self.read_bodies = self.default, self.default_read_bodies

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://{'localhost' if self._tls else '127.0.0.1'}:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._listener.close()
        self.drop_connections()

    def drop_connections(self):
        """Closes every connection, as an upstream does whose keep-alive time is over."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for connection in sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def note_bytes(self, count):
        with self._lock:
            self.bytes_received += count

    def wait_calls(self, count, timeout=20):
        """Waits until so many requests have begun; returns the list."""
        with self._lock:
            assert self._lock.wait_for(
                lambda: len(self.calls) >= count, seconds(timeout)
            ), f"{len(self.calls)} of {count} calls: {self.calls} {self.problems}"
            return list(self.calls)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
                self._sockets.add(connection)
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, plain, number):
        connection = plain
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._send_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
            if self._tls:
                connection = self._handshake(plain)
                if not connection:
                    return
                with self._lock:
                    self._sockets.discard(plain)
                    self._sockets.add(connection)
            peer = Peer(self, connection, number)
            while not peer.closed:
                call = peer.read_call()
                if call is None:
                    break
                if self.read_bodies:
                    peer.read_body(call)
                with self._lock:
                    self.calls.append(call)
                    handler = self.handler
                    self._lock.notify_all()
                handler(call, peer)
        except (OSError, ValueError) as problem:  # the gateway left (many tests make it), or its bytes were odd
            self.problems.append(repr(problem))
        except BaseException as problem:
            self.problems.append(repr(problem))
            raise
        finally:
            with self._lock:
                self._sockets -= {plain, connection}
            for one in (plain, connection):
                if one:
                    one.close()

    def _handshake(self, connection):
        try:
            connection.settimeout(seconds(20))
            wrapped = self._tls.wrap_socket(connection, server_side=True)
            wrapped.settimeout(None)
        except OSError as problem:
            self.tls_failures.append(str(problem))
            connection.close()
            return None
        self.tls_sessions.append((getattr(wrapped, "asked_name", None), wrapped.version(), wrapped.session_reused))
        return wrapped


MESSAGE = (
    b'{"id":"msg_01","type":"message","role":"assistant","model":"claude-opus-4-8","content":'
    b'[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":12,"output_tokens":5}}'
)


def answer(status=200, headers=(), body=b"", reason=b"OK", content_type="application/json"):
    """The bytes of an answer with content-length. `headers`: (name, value) pairs, sent in this order."""
    fields = [] if content_type is None else [("content-type", content_type)]
    lines = [b"HTTP/1.1 %d %s" % (status, reason)]
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in [*fields, *headers]]
    if status not in (204, 304):
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def stream_head(headers=(), chunked=True):
    lines = [
        b"HTTP/1.1 200 OK",
        b"content-type: text/event-stream; charset=utf-8",
        b"cache-control: no-cache",
        b"request-id: req_upstream_1",
    ]
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in headers]
    lines.append(b"transfer-encoding: chunked" if chunked else b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def answer_kind(call, peer):
    """The default: a small message, as a stream when the body asks for one."""
    if b'"stream":true' in call.body.replace(b" ", b""):
        peer.stream(sse.short_stream()).end()
    else:
        peer.send(answer(headers=[("request-id", "req_upstream_1")], body=MESSAGE))


def always(*pieces, pause=0.0):
    """A handler that sends the same bytes to every request."""
    return lambda call, peer: peer.send(*pieces, pause=pause)


def in_turn(*handlers):
    """A handler that uses each of the given ones once, in order, and the last one from then on."""
    left, lock = list(handlers), threading.Lock()

    def handle(call, peer):
        with lock:
            handler = left.pop(0) if len(left) > 1 else left[0]
        handler(call, peer)

    return handle


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")
