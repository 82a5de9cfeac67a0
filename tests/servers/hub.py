"""A small Hugging Face Hub on 127.0.0.1, for the real client: its protocol, errors and faults.

The state is in memory and outlives ``stop()``. What clients send and expect was read in the source
of ``huggingface_hub``: ``hf_api``, ``_commit_api``, ``lfs``, ``file_download`` and ``utils._http``.
"""

import json
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any, Self

from servers.hub_protocol import Protocol
from servers.hub_store import Commit, File, Refused, Repository, changed, is_lfs


@dataclass(frozen=True)
class User:
    name: str
    can_write: bool


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # as sent, without the query
    range: str = ""  # which bytes were asked for, such as "bytes=10-"


class HubServer:
    """A Hub that a test starts, fills, breaks and looks into."""

    def __init__(self, port: int = 0) -> None:
        self._server = _Server(self, port)
        self._is_running = False
        self._lock = threading.Lock()
        self._users: dict[str, User] = {}
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        # Clients take what they need of a redirect to another host, and follow any other.
        self.cdn = f"http://localhost:{self.port}/cdn"
        self.reset()

    def reset(self) -> None:
        """Forget repositories, faults and requests; keep the users."""
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}  # the content of LFS files, by sha256
        self.requests: list[Request] = []
        self.cut_uploads = 0  # so many uploads of LFS files lose their connection midway
        self.time_out_uploads = 0  # so many get 400 instead, which clients do not try again
        self.cut_downloads = 0  # so many downloads of a file's content end midway
        self.damage: set[str] = set()  # the paths of files that are sent with one byte changed
        self.delay = 0.0  # seconds to wait in the middle of each upload of an LFS file

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        if not self._is_running:
            self._server.server_activate()
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
            self._is_running = True

    def stop(self) -> None:
        """Refuse connections and break those that are open; the port stays reserved."""
        if self._is_running:
            self._server.shutdown()
            self._server.server_close()
            self._server = _Server(self, self.port)
            self._is_running = False

    def add_user(self, name: str, token: str, *, can_write: bool = True) -> None:
        self._users[token] = User(name, can_write)

    def saw(self, method: str, path: str, range: str) -> None:  # noqa: A002
        self.requests.append(Request(method, path, range))

    def user(self, token: str) -> User | None:
        return self._users.get(token)

    def create(
        self,
        repo_id: str,
        files: Mapping[str, bytes] = {},
        *,
        repo_type: str = "model",
        private: bool = False,
        gated: bool = False,
    ) -> None:
        """Make a repository with the Hub's first commit, and a second one with the files."""
        repository = Repository(repo_id, repo_type, private, gated)
        self.repositories[repo_type, repo_id] = repository
        if files:
            self.commit(repo_id, files, repo_type=repo_type)

    def commit(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        *,
        message: str = "Upload files",
        repo_type: str = "model",
        branch: str = "main",
    ) -> str:
        """Add or replace files in one commit; its id."""
        repository = self.repositories[repo_type, repo_id]
        new = {path: File(c, is_lfs(path, len(c), c[:512])) for path, c in files.items()}
        self.objects |= {file.sha256: file.content for file in new.values() if file.lfs}
        parent = repository.at(branch)
        return repository.add(f"refs/heads/{branch}", {**parent.tree, **new}, message, parent).oid

    def files(
        self, repo_id: str, revision: str = "main", *, repo_type: str = "model"
    ) -> dict[str, bytes]:
        tree = self.repositories[repo_type, repo_id].at(revision).tree
        return {path: file.content for path, file in tree.items()}

    def commits(
        self, repo_id: str, revision: str = "main", *, repo_type: str = "model"
    ) -> list[Commit]:
        return list(self.repositories[repo_type, repo_id].at(revision).history())

    def pull_requests(self, repo_id: str) -> list[int]:
        return self.repositories["model", repo_id].pull_requests

    def push(self, repository: Repository, revision: str, lines: bytes, *, as_pr: bool) -> Commit:
        """Take the commit of a client."""
        header, *operations = map(json.loads, lines.splitlines())
        with self._lock:
            ref = repository.ref(revision)
            if ref.startswith("refs/tags/"):
                raise Refused(400, f"{revision} is a tag; commits go to branches")
            parent = repository.refs[ref]
            if header["value"].get("parentCommit", parent.oid) != parent.oid:
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            tree = changed(parent.tree, operations, self.objects)
            if as_pr:
                ref = f"refs/pr/{len(repository.pull_requests) + 1}"
            return repository.add(ref, tree, header["value"]["summary"], parent)

    def strikes(self, fault: str) -> bool:
        """Whether a counted fault is due; it counts down."""
        with self._lock:
            left = getattr(self, fault)
            setattr(self, fault, max(left - 1, 0))
            return bool(left)


class _Server(ThreadingHTTPServer):
    """Bound to its port at once, so that the port stays reserved; listens when activated."""

    def __init__(self, hub: HubServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), Protocol, bind_and_activate=False)
        self.hub = hub
        self.open: set[socket.socket] = set()
        self.server_bind()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client may go whenever it likes
            super().handle_error(request, client_address)
