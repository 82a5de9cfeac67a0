"""A small server that speaks as much of Kaggle's protocol as ``kagglehub`` needs for one archive.

The client finds it by settings of its own: ``KAGGLE_API_ENVIRONMENT=LOCALHOST`` makes kagglesdk ask
http://localhost, and ``http_proxy`` makes requests send that to any free port.
"""

import base64
import hashlib
import json
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

DOWNLOAD = "/api/v1/datasets.DatasetApiService/DownloadDataset"
STORAGE = "/storage/archive.zip"


class Request(NamedTuple):
    method: str
    path: str
    first_byte: int  # of the range that was asked for
    body: dict


class KaggleServer:
    """A server on 127.0.0.1 with one archive, which a token may protect.

    Attributes:
        archive: What is downloaded.
        token: Who does not send it is refused; None lets everybody in.
        cut_downloads: So many downloads are cut off after two thirds.
        damage: Send the archive with one byte flipped.
        requests: All so far.
    """

    def __init__(self, archive: bytes) -> None:
        self.archive = archive
        self.token: str | None = None
        self.cut_downloads = 0
        self.damage = False
        self.requests: list[Request] = []
        handler = type("Handler", (_Handler,), {"kaggle": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which ``kagglehub`` finds this server."""
        return {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": f"http://127.0.0.1:{self._server.server_port}",
            "no_proxy": "",
            "NO_PROXY": "",
        }

    def __enter__(self) -> "KaggleServer":
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    kaggle: KaggleServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self._note(body)
        if self.kaggle.token and self.headers["Authorization"] != f"Bearer {self.kaggle.token}":
            self._send_json(401, {"code": 401, "message": "Unauthenticated"})
        elif path == DOWNLOAD:
            self.send_response(302)
            self.send_header("Location", f"http://localhost{STORAGE}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send_json(404, {"code": 404, "message": "Not found"})

    def do_GET(self) -> None:
        if self._note({}) != STORAGE:
            self._send_json(404, {"code": 404, "message": "Not found"})
            return
        archive = self.kaggle.archive
        digest = base64.b64encode(hashlib.md5(archive).digest()).decode()
        if self.kaggle.damage:
            archive = bytes([archive[0] ^ 1]) + archive[1:]
        first = self._first_byte()
        content = archive[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("x-goog-hash", f"md5={digest}")
        self.end_headers()
        if self.kaggle.cut_downloads > 0:
            self.kaggle.cut_downloads -= 1
            content = content[: 2 * len(content) // 3]
        # A client that goes on asks for the whole first, looks at the headers, and hangs up.
        with suppress(ConnectionError):
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass

    def _note(self, body: dict) -> str:
        # A proxy is asked with the whole address.
        path = urlsplit(self.path).path
        self.kaggle.requests.append(Request(self.command, path, self._first_byte(), body))
        return path

    def _first_byte(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def _send_json(self, status: int, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
