"""A raw HTTP/1.1 client that sends exactly the bytes it is given and reads answers strictly.

It exists because a friendly client would repair what these tests look for: every deviation of the answer from
RFC 9112 raises `ProtocolViolation`, and a body that ends before its framing says so raises `Truncated`.
"""

import json
import socket
import ssl
import time

from support.timing import seconds

TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class ProtocolViolation(AssertionError):
    """The peer's bytes are not HTTP/1.1."""


class Truncated(AssertionError):
    """The connection ended inside a message."""


class Response:
    """Status line and headers, then the body as it arrives through `pieces()` or `read()`."""

    def __init__(self, client, method):
        self._client = client
        self.interim = []  # status codes of 1xx answers before this one
        while True:
            self.raw_head = client.read_until(b"\r\n\r\n", 1 << 20)
            self._parse_head()
            if self.status >= 200:
                break
            self.interim.append(self.status)
        self.body = b""
        self.trailers = []
        self.chunks = 0
        self.complete = False
        self.framing = self._framing(method)
        self._source = getattr(self, f"_read_{self.framing}")()

    def _parse_head(self):
        lines = self.raw_head[:-4].split(b"\r\n")
        status_line = lines[0].split(b" ", 2)
        if len(status_line) != 3 or status_line[0] not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise ProtocolViolation(f"status line {lines[0]!r}")
        if len(status_line[1]) != 3 or not status_line[1].isdigit():
            raise ProtocolViolation(f"status code {status_line[1]!r}")
        self.version, self.status, self.reason = status_line[0], int(status_line[1]), status_line[2]
        self.headers = [parse_field(line) for line in lines[1:]]

    def _framing(self, method):
        codings, lengths = self.all("transfer-encoding"), self.all("content-length")
        if codings and lengths:
            raise ProtocolViolation("content-length beside transfer-encoding")
        if method == "HEAD" or self.status in (204, 304):
            return "nothing"
        if codings:
            if [coding.lower() for coding in codings] != [b"chunked"]:
                raise ProtocolViolation(f"transfer-encoding {codings!r}")
            return "chunked"
        if lengths:
            if len(lengths) != 1 or not lengths[0].isdigit():
                raise ProtocolViolation(f"content-length {lengths!r}")
            return "length"
        return "close"

    def all(self, name):
        name = name.lower().encode()
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name):
        """The value as text, None when absent; more than one of a name is a violation here."""
        values = self.all(name)
        if len(values) > 1:
            raise ProtocolViolation(f"{len(values)} headers named {name}: {values!r}")
        return values[0].decode("latin-1") if values else None

    def pieces(self):
        """Decoded body bytes in the portions in which they arrive."""
        for piece in self._source:
            self.body += piece
            yield piece
        self.complete = True

    def next_piece(self):
        """The next portion, or b"" when the body is complete."""
        return next(self.pieces_once, b"")

    @property
    def pieces_once(self):
        if not hasattr(self, "_pieces"):
            self._pieces = self.pieces()
        return self._pieces

    def read(self):
        parts = [self.body]
        for piece in self._source:  # joined once at the end: bodies may be large
            parts.append(piece)
        self.body = b"".join(parts)
        self.complete = True
        return self

    def discard(self):
        """Yields the rest of the body without keeping it."""
        yield from self._source
        self.complete = True

    def read_until(self, needle):
        """Reads on until the body contains `needle`."""
        while needle not in self.body:
            if not self.next_piece():
                raise AssertionError(f"the body ended without {needle!r}: ...{self.body[-500:]!r}")
        return self.body

    def json(self):
        return json.loads(self.body)

    def _read_nothing(self):
        return iter(())

    def _read_length(self):
        left = int(self.all("content-length")[0])
        while left:
            piece = self._client.read_some(left)
            if not piece:
                raise Truncated(f"{left} bytes missing of {self.header('content-length')}")
            left -= len(piece)
            yield piece

    def _read_close(self):
        while True:
            piece = self._client.read_some(1 << 16)
            if not piece:
                return
            yield piece

    def _read_chunked(self):
        while True:
            line = self._client.read_until(b"\r\n", 1024)[:-2]
            size_text = line.split(b";", 1)[0]
            if not size_text or not all(c in b"0123456789abcdefABCDEF" for c in size_text):
                raise ProtocolViolation(f"chunk size line {line!r}")
            left = int(size_text, 16)
            if left == 0:
                break
            self.chunks += 1
            while left:
                piece = self._client.read_some(left)
                if not piece:
                    raise Truncated(f"{left} bytes of a chunk missing")
                left -= len(piece)
                yield piece
            if self._client.read_exactly(2) != b"\r\n":
                raise ProtocolViolation("no CRLF after chunk data")
        while True:
            line = self._client.read_until(b"\r\n", 1 << 16)[:-2]
            if not line:
                return
            self.trailers.append(parse_field(line))


def parse_field(line):
    """`name: value` as bytes; anything a strict recipient refuses raises."""
    name, colon, value = line.partition(b":")
    if not colon or not name or not all(c in TOKEN for c in name):
        raise ProtocolViolation(f"header line {line!r}")
    if any(c in value for c in (b"\r", b"\n", b"\0")):
        raise ProtocolViolation(f"control character in {line!r}")
    return name, value.strip(b" \t")


class Client:
    """One connection. `tls`: an ssl.SSLContext; `receive_buffer`: a small one makes a slow reader; `source`: the
    address to come from."""

    def __init__(
        self, port, tls=None, host="127.0.0.1", receive_buffer=None, timeout=10, server_name="localhost", source=None
    ):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if source:
            self.socket.bind((source, 0))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds(timeout))
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
        self._buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, *pieces, pause=0.0):
        """Sends each piece as a segment of its own; `pause` lets the peer read between two of them."""
        for number, piece in enumerate(pieces):
            if number and pause:
                time.sleep(pause)
            self.socket.sendall(piece)
        return self

    def response(self, method="POST"):
        """Head of the next answer; the body is read by the caller."""
        return Response(self, method)

    def read_response(self, method="POST"):
        return Response(self, method).read()

    def ask(self, *pieces, method=None):
        """Sends one request and reads its whole answer."""
        self.send(*pieces)
        return self.read_response(method or pieces[0].split(b" ", 1)[0].decode("latin-1"))

    def read_some(self, limit):
        if not self._buffer:
            piece = self.socket.recv(min(max(limit, 1), 1 << 20))
            if len(piece) <= limit:
                return piece
            self._buffer += piece
        piece = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return piece

    def read_exactly(self, size):
        while len(self._buffer) < size:
            self._fill()
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def read_until(self, mark, limit):
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            if len(self._buffer) > limit:
                raise ProtocolViolation(f"no {mark!r} within {limit} bytes")
            start = max(0, len(self._buffer) - len(mark) + 1)
            self._fill()
        return self.read_exactly(at + len(mark))

    def _fill(self):
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise Truncated(f"connection closed after {bytes(self._buffer[-200:])!r}")
        self._buffer += piece

    def rest(self):
        """Everything until the peer closes; a reset counts as a close (what was answered was read before)."""
        data = bytes(self._buffer)
        self._buffer.clear()
        try:
            while piece := self.socket.recv(1 << 16):
                data += piece
        except (ConnectionResetError, ssl.SSLEOFError):
            pass
        return data

    def is_open(self):
        """Whether the peer has neither closed nor sent anything."""
        self.socket.setblocking(False)
        try:
            return not self._buffer and self.socket.recv(1, socket.MSG_PEEK) is None
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        finally:
            self.socket.settimeout(seconds(10))


def request(
    method="POST",
    target="/v1/messages",
    body=None,
    headers=(),
    host=b"gateway.test",
    key="sk-cp-one",
    version=b"HTTP/1.1",
):
    """The bytes of an ordinary request; `headers` are (name, value) pairs of str or bytes, sent as they are."""
    lines = [b"%s %s %s" % (_bytes(method), _bytes(target), version), b"Host: " + host]
    if key:
        lines.append(b"x-api-key: " + _bytes(key))
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def chunked(*chunks):
    """Chunked coding of the given chunks with the last chunk."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")
