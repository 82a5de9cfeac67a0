"""How a request to the Hub is routed, answered and allowed."""

import json
import re
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from servers.hub_store import Refused, Repository

if TYPE_CHECKING:
    from servers.hub import HubServer, User

Answer = Callable[..., None]
ROUTES: list[tuple[str, re.Pattern[str], Answer]] = []
PARTS = {
    "kind": "models|datasets",
    "prefix": "|datasets/",
    "repo": "[^/]+/[^/]+",
    "id": "[^/]+(?:/[^/]+)?",
    "revision": "[^/]+",
    "sha256": "[0-9a-f]{64}",
    "path": ".+",
}


def route(method: str, *templates: str) -> Callable[[Answer], Answer]:
    """Let a method of the handler answer paths such as ``/api/{kind}/{repo}/refs``."""

    def registered(answer: Answer) -> Answer:
        for template in templates:
            pattern = re.sub(r"{(\w+)}", lambda m: f"(?P<{m[1]}>{PARTS[m[1]]})", template)
            ROUTES.append((method, re.compile(pattern), answer))
        return answer

    return registered


class Handler(BaseHTTPRequestHandler):
    """One request, on a connection of its own (HTTP/1.0): a stopped server is silent at once."""

    disable_nagle_algorithm = True

    @property
    def hub(self) -> "HubServer":
        return self.server.hub  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(self.length) if self.command == "POST" else b""
        self.hub.saw(self.command, url.path, self.headers.get("Range", ""))
        try:
            self._answer("GET" if self.command == "HEAD" else self.command, url.path)
        except Refused as refusal:
            self._send(refusal.status, {"error": str(refusal)}, **refusal.headers)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: tests look at the requests that the hub saw."""

    def _answer(self, method: str, path: str) -> None:
        for allowed, pattern, answer in ROUTES:
            if method == allowed and (match := pattern.fullmatch(path)):
                answer(self, **{name: unquote(part) for name, part in match.groupdict("").items()})
                return
        raise Refused(501, f"The test server does not know {method} {path}")

    def _send(self, status: int, content: object, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._send_head(status, len(body), **headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(length), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _break_off(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    # Who asks, and what they may do

    def _user(self) -> "User | None":
        given = self.headers.get("Authorization")
        if given is None:
            return None
        user = self.hub.user(given.removeprefix("Bearer "))
        if user is None:
            raise Refused(401, "Invalid credentials in Authorization header")
        return user

    def _readable(self, repo_type: str, repo: str, *, content: bool = False) -> Repository:
        user = self._user()
        repository = self.hub.repositories.get((repo_type, repo))
        is_owner = bool(user and repository and user.name == repository.owner)
        if repository is None or (repository.private and not is_owner):
            raise Refused(404 if user else 401, "Repository not found", "RepoNotFound")
        if content and repository.gated and not is_owner:
            message = f"Access to {repo_type} {repo} is restricted. Ask for access on its page."
            raise Refused(403 if user else 401, message, "GatedRepo")
        return repository

    def _writable(self, repo_type: str, repo: str, *, proposal: bool = False) -> Repository:
        """A repository to change; who can write anywhere can propose a change to any."""
        repository = self._readable(repo_type, repo)
        user = self._user()
        if user is None:
            # The Hub gives no code here, but its clients take each 401 to an https address so.
            raise Refused(401, "Invalid username or password.", "RepoNotFound")
        if not user.can_write or not (proposal or user.name == repository.owner):
            raise Refused(403, "this token has no write access to the repository")
        return repository

    def _is_proposal(self, revision: str) -> bool:
        return "create_pr" in self.query or revision.startswith("refs/pr/")
