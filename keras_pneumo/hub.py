"""The Hugging Face Hub: files come from it, whole and checked, and go to it in one commit.

Everything is done by ``huggingface_hub``, with the token that it finds (``hf auth login``, or the
environment variable ``HF_TOKEN``) unless another is given. Added here are errors that say how to go
on, and a check of every downloaded file against the hash that the Hub states.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    snapshot_download,
)
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from keras_pneumo import __version__
from keras_pneumo.errors import HubError

Token = str | bool | None
_LOGIN = "log in with `hf auth login`, set HF_TOKEN, or pass a token"


def is_repo_id(text: str) -> bool:
    """Whether a text has the form ``owner/name`` of a repository.

    Examples:
        >>> is_repo_id("ada/pneumonia"), is_repo_id("pneumonia"), is_repo_id("runs/first/model")
        (True, False, False)
    """
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return "/" in text


def fetch(
    repo_id: str,
    patterns: Sequence[str],
    *,
    repo_type: str = "model",
    revision: str | None = None,
    token: Token = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """Bring files of a repository into the local cache, and check them.

    What is in the cache already is not downloaded again, and serves alone where there is no
    network. An interrupted download goes on with the files that are missing.

    Args:
        repo_id: ``"owner/name"``.
        patterns: Which files, such as ``["config.json", "data/*.parquet"]``.
        repo_type: ``"model"`` or ``"dataset"``.
        revision: A branch, a tag or a commit; the branch ``main`` by default.
        token: An access token; True for the stored one, False for none. By default the stored one
            if there is one.
        cache_dir: Where files of the Hub are kept; the cache of ``huggingface_hub`` by default.
        local_files_only: Use the cache alone.

    Returns:
        The folder in the cache.

    Raises:
        HubError: The files cannot be had, or are not those that the Hub has.

    Examples:
        ```python
        folder = fetch("owner/name", ["config.json"])
        print((folder / "config.json").read_text())
        ```
    """
    with _translated(repo_id, revision, repo_type):
        folder = snapshot_download(
            repo_id,
            repo_type=repo_type,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            allow_patterns=list(patterns),
            library_name="keras-pneumo",
            library_version=__version__,
        )
    _require_intact(Path(folder), repo_id)
    return Path(folder)


@dataclass(frozen=True)
class Branch:
    """Where a commit goes: a branch of a model's repository, at the commit that it was seen at.

    Attributes:
        repo_id: ``"owner/name"``.
        name: The branch; None for ``main``.
        head: Its newest commit when it was opened.
        token: As for ``fetch``.
    """

    repo_id: str
    name: str | None
    head: str
    token: Token

    @classmethod
    def open(
        cls, repo_id: str, name: str | None, *, private: bool | None = None, token: Token = None
    ) -> "Branch":
        """Open a branch for writing; the repository and the branch are made if they are not there.

        Args:
            repo_id: ``"owner/name"``.
            name: The branch; None for ``main``.
            private: Whether a new repository is private; None for the owner's default.
            token: As for ``fetch``.

        Raises:
            HubError: The Hub cannot be reached, or the token may not write there.
        """
        api = _api(token)
        with _translated(repo_id, name):
            api.whoami()  # without a token, what follows would speak of a missing repository
            api.create_repo(repo_id, private=private, exist_ok=True)
            if name is not None and not name.startswith("refs/"):
                api.create_branch(repo_id, branch=name, exist_ok=True)
            head = api.model_info(repo_id, revision=name).sha
        return cls(repo_id, name, str(head), token)

    def read(self, path: str) -> str | None:
        """Return the text of a file, None if it is not there."""
        api = _api(self.token)
        with _translated(self.repo_id, self.name):
            if not api.file_exists(self.repo_id, path, revision=self.head):
                return None
            file = api.hf_hub_download(self.repo_id, path, revision=self.head)
        return Path(file).read_text(encoding="utf-8")

    def commit(
        self,
        files: Mapping[str, Path | bytes],
        message: str,
        *,
        outdated: Collection[str] = (),
        create_pr: bool = False,
    ) -> CommitInfo:
        """Write files in one commit on top of the one that was opened.

        Args:
            files: By their path in the repository, the path of a local file or the content.
            message: The first line of the commit's message.
            outdated: Paths of files to delete, where they are there.
            create_pr: Open a pull request instead of writing to the branch.

        Returns:
            The commit as ``huggingface_hub`` describes it: ``commit_url``, ``oid``, ``pr_url``.

        Raises:
            HubError: The branch has moved since it was opened, or the upload did not end. What has
                arrived of a large file that ended is kept by the Hub, and not sent again.
        """
        api = _api(self.token)
        with _translated(self.repo_id, self.name):
            there = api.list_repo_files(self.repo_id, revision=self.head) if outdated else []
            return api.create_commit(
                self.repo_id,
                [
                    *(CommitOperationAdd(path, content) for path, content in files.items()),
                    *(CommitOperationDelete(path) for path in sorted({*outdated} & {*there})),
                ],
                commit_message=message,
                revision=self.name,
                create_pr=create_pr,
                parent_commit=self.head,
            )


def _api(token: Token) -> HfApi:
    return HfApi(token=token, library_name="keras-pneumo", library_version=__version__)


@contextmanager
def _translated(repo_id: str, revision: str | None, repo_type: str = "model") -> Iterator[None]:
    try:
        yield
    # ValueError: a card whose metadata the Hub refuses. RuntimeError: an upload that did not end.
    except (HTTPError, EntryNotFoundError, OSError, ValueError, RuntimeError) as error:
        page = f"{ENDPOINT}/{'datasets/' if repo_type == 'dataset' else ''}{repo_id}"
        raise HubError(_explanation(error, repo_id, revision, page)) from error


def _explanation(error: Exception, repo_id: str, revision: str | None, page: str) -> str:
    """What went wrong, and what to do next."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    match error:
        case GatedRepoError():
            return (
                f"{repo_id} is gated: ask for access on {page}, and when it is granted, {_LOGIN}."
            )
        case RevisionNotFoundError():
            return (
                f"{repo_id} has no revision {revision!r}. Its branches and tags are on "
                f"{page}/tree/main; without a revision, main is taken."
            )
        case RepositoryNotFoundError():
            return (
                f"There is no {page}: the name is wrong, or it is private. Check the name; if it "
                f"is private, {_LOGIN}."
            )
        case LocalEntryNotFoundError():
            return (
                f"{repo_id} is not in the cache, or not whole, and {ENDPOINT} cannot be reached "
                "or may not be asked. Do the same once with a network and, if it was set, without "
                f"`local_files_only`. ({_first_line(error)})"
            )
        case LocalTokenNotFoundError():
            return f"No token is stored on this machine: {_LOGIN}."
    if status == 401:
        return (
            f"{ENDPOINT} does not accept the token, or none was given. Make one on "
            f"{ENDPOINT}/settings/tokens and {_LOGIN}."
        )
    if status == 403:
        return (
            f"The token does not allow this on {repo_id}: {_first_line(error)} Take a token with "
            "the right to write, or another owner."
        )
    if status == 412:
        return (
            f"{repo_id} has changed on the Hub in the meantime, and nothing was written. Do the "
            "same again to go on from what it holds now."
        )
    if isinstance(error, HTTPError) and status is None:
        return (
            f"{ENDPOINT} cannot be reached, or broke off: {error}. Check the network and do the "
            "same again; what has arrived is not sent again."
        )
    return f"The Hub and {repo_id}: {error.__cause__ or error}"


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), repr(error)).strip()


def _require_intact(folder: Path, repo_id: str) -> None:
    # The cache names the content of a file by the hash that the Hub states, and the snapshot links
    # to it; where the file system has no links, there is no name to compare with.
    for link in (path for path in sorted(folder.rglob("*")) if path.is_symlink()):
        stated = link.readlink().name
        if re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", stated) and _hash(link, stated) != stated:
            # What has this name may be a link itself, to content that repositories share.
            for path in (link.resolve(), link.parent / link.readlink(), link):
                path.unlink(missing_ok=True)
            raise HubError(
                f"{link.name} of {repo_id} is damaged: its hash is not the one that the Hub "
                "states. It is deleted from the cache; do the same again to download it anew."
            )


def _hash(path: Path, like: str) -> str:
    """The hash of a file, of the kind of another: SHA-256, or SHA-1 as git has it."""
    with path.open("rb") as file:
        if len(like) == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        content = file.read()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()
