"""A stand-in for S3 that lives in this process: one bucket, path-style, no signatures checked.

It speaks as much of the protocol as object stores' clients need: PUT, GET with ranges, HEAD, DELETE
of one and of many, and lists with prefix and delimiter.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

_TIME = "2026-01-01T00:00:00.000Z"


class Bucket(ThreadingHTTPServer):
    """An HTTP server that keeps objects in memory; a context that is served from start to end."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.objects: dict[str, bytes] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Bucket:
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def do_PUT(self) -> None:
        data = self._body()
        self.server.objects[self._key()] = data
        self._answer(200, b"", ETag=_tag(data))

    def do_GET(self) -> None:
        if self._key() == "":
            return self._list()
        data = self.server.objects.get(self._key())
        if data is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._answer(200, data, ETag=_tag(data))
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last), len(data) - 1) if first and last else len(data) - 1
        span = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        return self._answer(206, data[start : end + 1], ETag=_tag(data), **span)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._key(), None)
        self._answer(204, b"")

    def do_POST(self) -> None:
        keys = re.findall(r"<Key>(.*?)</Key>", self._body().decode())
        for key in keys:
            self.server.objects.pop(unescape(key), None)
        gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())

    def _list(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        prefix, delimiter = (asked.get(name, [""])[0] for name in ("prefix", "delimiter"))
        found, folders = [], []
        for key, data in sorted(self.server.objects.items()):
            if key.startswith(prefix):
                head, cut, _ = key[len(prefix) :].partition(delimiter or "\0")
                if cut:
                    folders.append(prefix + head + cut)
                else:
                    found.append(
                        f"<Contents><Key>{escape(key)}</Key><LastModified>{_TIME}</LastModified>"
                        f"<ETag>{_tag(data)}</ETag><Size>{len(data)}</Size></Contents>"
                    )
        for folder in dict.fromkeys(folders):
            found.append(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>")
        body = "<IsTruncated>false</IsTruncated>" + "".join(found)
        self._answer(200, f"<ListBucketResult>{body}</ListBucketResult>".encode())

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        headers |= {"Content-Length": str(len(body)), "Last-Modified": formatdate(usegmt=True)}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stays quiet."""


def _tag(data: bytes) -> str:
    return f'"{md5(data, usedforsecurity=False).hexdigest()}"'
