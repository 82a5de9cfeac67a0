"""A saved model and its report become a repository on the Hugging Face Hub."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from huggingface_hub import CommitInfo

from keras_pneumo import hub
from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.report import EvaluationReport
from keras_pneumo.evaluation.report_pictures import DRAWN, draw_pictures
from keras_pneumo.pretrained.card import eval_results, is_generated, model_card
from keras_pneumo.pretrained.description import MODEL_FILES, WEIGHTS_FILE, Description

logger = logging.getLogger(__name__)

CARD_FILE = "README.md"
RESULTS_FILE = ".eval_results/keras-pneumo.yaml"
_OF_A_REPORT = {RESULTS_FILE, *(f"evaluation/{name}.png" for name in DRAWN)}


@dataclass(frozen=True)
class Repository:
    """What a model's repository on the Hub holds, gathered without a network.

    Attributes:
        repo_id: ``"owner/name"``.
        contents: By the path in the repository, the path of a local file or the content.
        card: The model card, which is ``README.md`` there.
    """

    repo_id: str
    contents: Mapping[str, Path | bytes]
    card: str

    @classmethod
    def gather(
        cls,
        model_directory: str | Path,
        repo_id: str,
        *,
        report: EvaluationReport | None = None,
        license: str | None = None,
    ) -> Self:
        """Gather the model's files, its card, and of a report the curves and the results.

        Pictures that show radiographs, predictions of single images and names of files stay at
        home.

        Args:
            model_directory: What ``save_pretrained`` made.
            repo_id: ``"owner/name"``, which the card tells how to load.
            report: What the model was found to do.
            license: An identifier of the Hub, such as ``"mit"``.

        Returns:
            The repository to be.

        Raises:
            WeightsError: The folder holds no saved model.
            SettingsError: The id is none, or the report is of a model with another threshold.
        """
        if not hub.is_repo_id(repo_id):
            raise SettingsError(
                "A repository on the Hub is named owner/name, of letters, digits, '-', '_' and "
                f"'.'. Received {repo_id!r}."
            )
        folder = Path(model_directory)
        description = Description.read(folder)
        contents: dict[str, Path | bytes] = {name: folder / name for name in MODEL_FILES}
        if report:
            if report.threshold.value != description.threshold:
                raise SettingsError(
                    "A report is published with the model that it is of. This one is of a "
                    f"threshold of {report.threshold.value:g}; the model in {folder} has "
                    f"{description.threshold:g}. Evaluate the model again."
                )
            drawn = draw_pictures(
                report.predictions, report.threshold, report.temperature, report.shortcuts
            )
            contents |= {f"evaluation/{picture.name}.png": picture.png for picture in drawn}
            if results := eval_results(description, report):
                contents[RESULTS_FILE] = results.encode()
        card = model_card(
            description,
            report,
            repo_id=repo_id,
            license=license,
            weights_mb=(folder / WEIGHTS_FILE).stat().st_size / 1e6,
        )
        return cls(repo_id, {**contents, CARD_FILE: card.encode()}, card)

    def sizes(self) -> dict[str, int]:
        """Return the size of each file in bytes, by its path in the repository."""
        return {
            path: content.stat().st_size if isinstance(content, Path) else len(content)
            for path, content in self.contents.items()
        }

    def push(
        self,
        *,
        private: bool | None = None,
        token: hub.Token = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload a model with keras-pneumo",
        overwrite_card: bool = False,
    ) -> CommitInfo:
        """Write it to the Hub in one commit; the repository is made if it is not there.

        A card that a person has edited on the Hub is kept unless told otherwise. What is there of
        an earlier report and is not in this one is deleted.

        Args:
            private: Whether a new repository is private; None for the owner's default.
            token: As for ``keras_pneumo.hub.fetch``.
            revision: The branch to write to, made if it is not there; ``main`` by default.
            create_pr: Open a pull request instead of writing to ``main``.
            commit_message: The first line of the commit's message.
            overwrite_card: Replace a card that a person has edited.

        Returns:
            The commit as ``huggingface_hub`` describes it: ``commit_url``, ``oid``, ``pr_url``.

        Raises:
            HubError: The Hub cannot be reached, the token may not write there, or the repository
                changed during the upload. Nothing is written then.
            SettingsError: A pull request is asked for on another branch than ``main``.
        """
        if create_pr and revision not in (None, "main"):
            raise SettingsError(
                f"A pull request goes to main. Received `create_pr` with `revision` {revision!r}. "
                "Leave one of them out."
            )
        branch = hub.Branch.open(self.repo_id, revision, private=private, token=token)
        contents = dict(self.contents)
        card = branch.read(CARD_FILE)
        if card is not None and not is_generated(card) and not overwrite_card:
            logger.warning(
                "README.md of %s was written or edited by a person and is kept. To replace it, "
                "pass `overwrite_card=True` (--overwrite-card).",
                self.repo_id,
            )
            del contents[CARD_FILE]
        commit = branch.commit(
            contents,
            commit_message,
            outdated=_OF_A_REPORT - contents.keys(),
            create_pr=create_pr,
        )
        if commit.oid == branch.head:
            logger.info("%s holds all of this already; nothing was written.", self.repo_id)
        return commit
