"""Repositories as the Hub keeps them: files, commits, branches, tags and pull requests."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

LFS_SUFFIXES = (".h5", ".jpeg", ".jpg", ".parquet", ".png", ".safetensors", ".zip")
LFS_SIZE = 10_000_000
GIT_ATTRIBUTES = "".join(
    f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES
)


class Refused(Exception):  # noqa: N818 - the Hub's answer, not a failure of the server
    """A request that the Hub answers with an error."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **headers}
        if code:
            self.headers["X-Error-Code"] = code


def is_lfs(path: str, size: int, sample: bytes) -> bool:
    """Whether the Hub keeps a file outside git: binary files and very large ones."""
    return size > 0 and (path.endswith(LFS_SUFFIXES) or size > LFS_SIZE or b"\0" in sample)


@dataclass(frozen=True)
class File:
    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git keeps of a file: the file, or for LFS a note of where it is."""
        if not self.lfs:
            return self.content
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}")
        return "\n".join((*lines, f"size {len(self.content)}\n")).encode()

    @cached_property
    def blob_id(self) -> str:
        return hashlib.sha1(b"blob %d\0%b" % (len(self.pointer), self.pointer)).hexdigest()

    @property
    def oid(self) -> str:
        """The hash by which clients know the content: it names the file in their caches."""
        return self.sha256 if self.lfs else self.blob_id


@dataclass(frozen=True)
class Commit:
    oid: str
    message: str
    tree: Mapping[str, File]
    parent: "Commit | None"
    date: datetime

    @property
    def files(self) -> set[str]:
        """The paths that this commit added, changed or deleted."""
        before = self.parent.tree if self.parent else {}
        return {path for path in {*before, *self.tree} if before.get(path) != self.tree.get(path)}

    def history(self) -> Iterator["Commit"]:
        """This commit and those before it, newest first."""
        commit: Commit | None = self
        while commit:
            yield commit
            commit = commit.parent

    def entries(self) -> Iterator[dict[str, Any]]:
        """Every file and folder, in the words of the Hub's API."""
        for path, file in sorted(self.tree.items()):
            size = len(file.content)
            lfs = {"oid": file.sha256, "size": size, "pointerSize": len(file.pointer)}
            entry = {"type": "file", "path": path, "size": size, "oid": file.blob_id}
            yield {**entry, "lfs": lfs} if file.lfs else entry
        folders = {str(parent) for path in self.tree for parent in PurePosixPath(path).parents}
        for folder in sorted(folders - {"."}):
            oid = hashlib.sha1(f"{self.oid} {folder}".encode()).hexdigest()
            yield {"type": "directory", "path": folder, "size": 0, "oid": oid}


@dataclass
class Repository:
    id: str
    type: str
    private: bool = False
    gated: bool = False
    refs: dict[str, Commit] = field(default_factory=dict)  # by full name, such as refs/heads/main
    commits: dict[str, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = {".gitattributes": File(GIT_ATTRIBUTES.encode(), lfs=False)}
        self.add("refs/heads/main", first, "initial commit", parent=None)

    @property
    def owner(self) -> str:
        return self.id.partition("/")[0]

    @property
    def pull_requests(self) -> list[int]:
        start = "refs/pr/"
        return [int(ref.removeprefix(start)) for ref in self.refs if ref.startswith(start)]

    def ref(self, revision: str) -> str:
        """The full name of a branch, a tag or a pull request."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in self.refs:
                return name
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def at(self, revision: str) -> Commit:
        """The commit that a branch, a tag, a pull request or a commit's id stands for."""
        return self.commits.get(revision) or self.refs[self.ref(revision)]

    def add(
        self, ref: str, tree: Mapping[str, File], message: str, parent: Commit | None
    ) -> Commit:
        """Put a commit on top of a parent, and let a branch or a pull request point to it."""
        oids = {path: file.blob_id for path, file in sorted(tree.items())}
        time = len(self.commits)  # no two commits are the same
        content = json.dumps([self.type, self.id, message, parent and parent.oid, time, oids])
        oid = hashlib.sha1(content.encode()).hexdigest()
        commit = Commit(oid, message, dict(tree), parent, datetime.now(UTC))
        self.commits[oid] = self.refs[ref] = commit
        return commit


def changed(
    tree: Mapping[str, File], operations: Iterable[Mapping[str, Any]], objects: Mapping[str, bytes]
) -> dict[str, File]:
    """The files of a tree after the operations of a commit, as clients send them."""
    files = dict(tree)
    for operation in operations:
        value = operation["value"]
        path = value["path"].rstrip("/")
        match operation["key"]:
            case "file":
                files[path] = File(b64decode(value["content"]), lfs=False)
            case "lfsFile" if value["oid"] in objects:
                files[path] = File(objects[value["oid"]], lfs=True)
            case "lfsFile":
                raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path}")
            case "deletedFile" if path in files:
                del files[path]
            case "deletedFolder" if any(name.startswith(f"{path}/") for name in files):
                files = {n: file for n, file in files.items() if not n.startswith(f"{path}/")}
            case "deletedFile" | "deletedFolder":
                raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            case other:
                raise Refused(501, f"The test server knows no operation {other!r}.")
    return files
