"""The Hub's protocol: what is answered to which path."""

import hashlib
import json
import re
import time
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qs, quote

from servers.hub_handler import Handler, route
from servers.hub_store import Refused, Repository, is_lfs


class Protocol(Handler):
    # Users, and new repositories

    @route("GET", "/api/whoami-v2")
    def _who_am_i(self) -> None:
        user = self._user()
        if user is None:
            raise Refused(401, "Invalid username or password.")
        role = "write" if user.can_write else "read"
        token = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        self._send(200, {"type": "user", "name": user.name, "orgs": [], "auth": token})

    @route("POST", "/api/repos/create")
    def _create(self) -> None:
        asked = json.loads(self.body)
        user = self._user()
        if user is None:
            raise Refused(401, "Invalid username or password.")
        owner, repo_type = asked.get("organization") or user.name, asked.get("type", "model")
        if owner != user.name or not user.can_write:
            message = f'You don\'t have the rights to create a {repo_type} under "{owner}"'
            raise Refused(403, message)
        repo = f"{owner}/{asked['name']}"
        answer = {"name": repo, "url": self._page(repo_type, repo)}
        if (repo_type, repo) in self.hub.repositories:
            message = f"You already created this {repo_type} repo"
            self._send(409, {"error": message, **answer}, X_Error_Message=message)
        else:
            private = asked.get("visibility") == "private" or asked.get("private", False)
            self.hub.create(repo, repo_type=repo_type, private=private)
            self._send(200, answer)

    def _page(self, repo_type: str, repo: str) -> str:
        return f"{self.hub.url}/{'datasets/' if repo_type == 'dataset' else ''}{repo}"

    # What there is in a repository

    @route("GET", "/api/{kind}/{id}", "/api/{kind}/{id}/revision/{revision}")
    def _info(self, kind: str, id: str, revision: str = "main") -> None:  # noqa: A002
        repository = self._readable(kind[:-1], id)
        commit = repository.at(revision)
        answer = {
            "id": id,
            "author": repository.owner,
            "sha": commit.oid,
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "lastModified": f"{commit.date:%Y-%m-%dT%H:%M:%S.000Z}",
            "siblings": [{"rfilename": path} for path in sorted(commit.tree)],
            "tags": [],
        }
        self._send(200, answer)

    @route("GET", "/api/{kind}/{repo}/tree/{revision}", "/api/{kind}/{repo}/tree/{revision}/{path}")
    def _tree(self, kind: str, repo: str, revision: str, path: str = "") -> None:
        entries = list(self._readable(kind[:-1], repo).at(revision).entries())
        folder = f"{path}/" if path else ""
        inside = [entry for entry in entries if entry["path"].startswith(folder)]
        if path and not inside:
            raise Refused(404, f"{path} does not exist on {revision}", "EntryNotFound")
        if self.query.get("recursive") != ["true"]:
            inside = [entry for entry in inside if "/" not in entry["path"].removeprefix(folder)]
        self._send(200, inside)

    @route("POST", "/api/{kind}/{repo}/paths-info/{revision}")
    def _paths_info(self, kind: str, repo: str, revision: str) -> None:
        asked = parse_qs(self.body.decode())["paths"]
        entries = self._readable(kind[:-1], repo).at(revision).entries()
        self._send(200, [entry for entry in entries if entry["path"] in asked])

    @route("GET", "/api/{kind}/{repo}/refs")
    def _refs(self, kind: str, repo: str) -> None:
        refs = self._readable(kind[:-1], repo).refs
        kinds = {"branches": "refs/heads/", "tags": "refs/tags/", "pullRequests": "refs/pr/"}
        answer = {
            kind: [
                {"name": ref.removeprefix(start), "ref": ref, "targetCommit": commit.oid}
                for ref, commit in refs.items()
                if ref.startswith(start)
            ]
            for kind, start in kinds.items()
        }
        self._send(200, {**answer, "converts": []})

    @route("POST", "/api/{kind}/{repo}/branch/{revision}")
    def _branch(self, kind: str, repo: str, revision: str) -> None:
        start = json.loads(self.body).get("startingPoint", "main")
        self._new_ref(self._writable(kind[:-1], repo), f"refs/heads/{revision}", start)

    @route("POST", "/api/{kind}/{repo}/tag/{revision}")
    def _tag(self, kind: str, repo: str, revision: str) -> None:
        name = json.loads(self.body)["tag"]
        self._new_ref(self._writable(kind[:-1], repo), f"refs/tags/{name}", revision)

    def _new_ref(self, repository: Repository, ref: str, revision: str) -> None:
        if ref in repository.refs:
            raise Refused(409, f"Reference already exists: {ref}")
        repository.refs[ref] = repository.at(revision)
        self._send(200, {})

    # Uploads

    @route("POST", "/api/validate-yaml")
    def _validate_card(self) -> None:
        asked = json.loads(self.body)
        problems = card_problems(asked["content"], asked["repoType"])
        self._send(400 if problems["errors"] else 200, problems)

    @route("POST", "/api/{kind}/{repo}/preupload/{revision}")
    def _preupload(self, kind: str, repo: str, revision: str) -> None:
        repository = self._writable(kind[:-1], repo, proposal=self._is_proposal(revision))
        tree = repository.at(revision).tree

        def advice(asked: dict[str, Any]) -> dict[str, Any]:
            path, sample = asked["path"], b64decode(asked["sample"])
            mode = "lfs" if is_lfs(path, asked["size"], sample) else "regular"
            known = {"oid": tree[path].oid} if path in tree else {}
            return {"path": path, "uploadMode": mode, "shouldIgnore": False, **known}

        self._send(200, {"files": [advice(asked) for asked in json.loads(self.body)["files"]]})

    @route("POST", "/{prefix}{repo}.git/info/lfs/objects/batch")
    def _lfs_batch(self, prefix: str, repo: str) -> None:
        self._writable("dataset" if prefix else "model", repo, proposal=True)
        objects = json.loads(self.body)["objects"]
        verify = self.hub.url + self.path.replace("/batch", "/verify")
        for item in objects:
            if item["oid"] not in self.hub.objects:
                upload = f"{self.hub.url}/lfs/{item['oid']}"
                item["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
        self._send(200, {"transfer": "basic", "objects": objects})

    @route("PUT", "/lfs/{sha256}")
    def _lfs_upload(self, sha256: str) -> None:
        content = self.rfile.read(self.length // 2)
        time.sleep(self.hub.delay)
        if self.hub.strikes("cut_uploads"):
            self._break_off()
            return
        content += self.rfile.read(self.length - len(content))
        if self.hub.strikes("time_out_uploads"):
            raise Refused(400, "RequestTimeout: the connection was not written to in time")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Refused(400, "XAmzContentSHA256Mismatch: these are not the bytes announced")
        self.hub.objects[sha256] = content
        self._send(200, b"")

    @route("POST", "/{prefix}{repo}.git/info/lfs/objects/verify")
    def _lfs_verify(self, prefix: str, repo: str) -> None:
        self._writable("dataset" if prefix else "model", repo, proposal=True)
        asked = json.loads(self.body)
        if len(self.hub.objects.get(asked["oid"], b"")) != asked["size"]:
            raise Refused(404, "The object is not there, or of another size")
        self._send(200, {})

    @route("POST", "/api/{kind}/{repo}/commit/{revision}")
    def _commit(self, kind: str, repo: str, revision: str) -> None:
        repository = self._writable(kind[:-1], repo, proposal=self._is_proposal(revision))
        as_pr = "create_pr" in self.query
        commit = self.hub.push(repository, revision, self.body, as_pr=as_pr)
        page = self._page(repository.type, repo)
        answer = {"commitOid": commit.oid, "commitUrl": f"{page}/commit/{commit.oid}"}
        if as_pr:
            answer["pullRequestUrl"] = f"{page}/discussions/{max(repository.pull_requests)}"
        self._send(200, answer)

    # Downloads

    @route("GET", "/{prefix}{id}/resolve/{revision}/{path}")
    def _resolve(self, prefix: str, id: str, revision: str, path: str) -> None:  # noqa: A002
        repository = self._readable("dataset" if prefix else "model", id, content=True)
        commit = repository.at(revision)
        if path not in commit.tree:
            where = {"X-Repo-Commit": commit.oid}
            raise Refused(404, f"Entry not found: {path}", "EntryNotFound", **where)
        file = commit.tree[path]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.blob_id}"'}
        if file.lfs:
            headers["X-Linked-ETag"] = f'"{file.sha256}"'
            headers["X-Linked-Size"] = str(len(file.content))
            location = f"{self.hub.cdn}/{file.sha256}/{quote(path)}"
            self._send(302, b"", Location=location, **headers)
        else:
            self._send_file(path, file.content, headers)

    @route("GET", "/cdn/{sha256}/{path}")
    def _cdn(self, sha256: str, path: str) -> None:
        if self.headers.get("Authorization"):
            raise Refused(400, "A token was sent to the CDN, which must not see it")
        self._send_file(path, self.hub.objects[sha256], {"ETag": f'"{sha256}"'})

    def _send_file(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        if path in self.hub.damage:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        status, total = 200, len(content)
        if wanted := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            first, last = span(wanted[1], wanted[2], total)
            content, status = content[first : last + 1], 206
            headers = {**headers, "Content-Range": f"bytes {first}-{last}/{total}"}
        self._send_head(status, len(content), Accept_Ranges="bytes", **headers)
        if self.command == "HEAD":
            return
        if self.hub.strikes("cut_downloads"):
            self.wfile.write(content[: len(content) // 2])
            self._break_off()
        else:
            self.wfile.write(content)


def span(first: str, last: str, total: int) -> tuple[int, int]:
    """The first and last byte of a range such as 5-9, 5- or -5 (the last five)."""
    if not first:
        return max(total - int(last), 0), total - 1
    if int(first) >= total:
        raise Refused(416, "Range not satisfiable", **{"Content-Range": f"bytes */{total}"})
    return int(first), min(int(last or total), total - 1)


def card_problems(content: str, repo_type: str) -> dict[str, list[dict[str, str]]]:
    """What the Hub would say of the metadata of a card."""
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub import DatasetCard, ModelCard
    from huggingface_hub.utils import validate_repo_id

    errors, warnings = [], []
    try:
        card_class = DatasetCard if repo_type == "dataset" else ModelCard
        metadata = card_class(content).data.to_dict()
        for key in ("base_model", "datasets"):
            named = metadata.get(key, [])
            for repo in [named] if isinstance(named, str) else named:
                validate_repo_id(repo)
        if not metadata:
            warnings.append({"message": "empty or missing yaml metadata in repo card"})
    except (ValueError, TypeError, yaml.YAMLError) as error:
        errors.append({"message": str(error)})
    return {"errors": errors, "warnings": warnings}
