"""The folder of one training: what was asked, how far it came, what came out.

``settings.json``: the settings and the data, written first. ``state.json``: how far it came; its
renaming is the moment at which an epoch counts as done. ``checkpoints/``: the weights it names.
``training_curves.png``, ``model/``, ``evaluation/``: the results.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from keras_pneumo import __version__
from keras_pneumo.errors import OutputError
from keras_pneumo.files import is_occupied, new_directory, replacing
from keras_pneumo.training.settings import TrainSettings

SCHEMA_VERSION = 1
SETTINGS_FILE = "settings.json"
STATE_FILE = "state.json"


@dataclass(frozen=True)
class Epoch:
    """One finished epoch; losses and metrics on train and on validation.

    Attributes:
        phase: ``"head"`` or ``"fine_tune"``.
        epoch: Number over both phases, from 1.
    """

    phase: str
    epoch: int
    loss: float
    accuracy: float
    auc: float
    val_loss: float
    val_accuracy: float
    val_auc: float

    @property
    def rank(self) -> tuple[float, float]:
        """What makes it better: a higher validation AUC, then a lower validation loss."""
        return self.val_auc, -self.val_loss

    def is_better_than(self, other: "Epoch | None") -> bool:
        """Whether it ranks higher than ``other``; than None, always."""
        return other is None or self.rank > other.rank


@dataclass(frozen=True)
class RunState:
    """How far a run came.

    Attributes:
        epochs: The finished epochs, in order.
        finished: Whether model and evaluation are written.
    """

    epochs: tuple[Epoch, ...] = ()
    finished: bool = False

    @property
    def best(self) -> Epoch | None:
        """The epoch with the best validation AUC, over both phases."""
        return _best(self.epochs)

    def of_phase(self, phase: str) -> tuple[Epoch, ...]:
        """The finished epochs of one phase."""
        return tuple(epoch for epoch in self.epochs if epoch.phase == phase)

    def is_phase_done(self, phase: str, most_epochs: int, patience: int) -> bool:
        """Whether a phase has had its epochs, or has stopped getting better."""
        epochs = self.of_phase(phase)
        best = _best(epochs)
        waited = epochs[-1].epoch - best.epoch if best else 0
        return len(epochs) >= most_epochs or waited >= patience

    def columns(self) -> dict[str, list[Any]]:
        """The history as columns, as ``plot_training_curves`` takes it."""
        return {name: [getattr(e, name) for e in self.epochs] for name in Epoch.__annotations__}


@dataclass(frozen=True)
class RunDirectory:
    """A training's folder; made by ``create`` or found by ``open``.

    Attributes:
        path: The folder.
        settings: What was asked.
        data: Fingerprint of the data and name of its folder.
    """

    path: Path
    settings: TrainSettings
    data: Mapping[str, Any]

    @classmethod
    def create(
        cls, path: str | Path, settings: TrainSettings, data: Mapping[str, Any], overwrite: bool
    ) -> Self:
        """Make the folder, with the settings in it.

        Raises:
            OutputError: See ``require_free``.
        """
        path = Path(path)
        cls.require_free(path, overwrite)
        description = {
            "schema_version": SCHEMA_VERSION,
            "keras_pneumo": __version__,
            "data": dict(data),
            "settings": settings.to_dict(),
        }
        with new_directory(path, marker=SETTINGS_FILE, overwrite=overwrite) as temporary:
            text = json.dumps(description, indent=2) + "\n"
            (temporary / SETTINGS_FILE).write_text(text, encoding="utf-8")
        return cls(path, settings, data)

    @staticmethod
    def require_free(path: str | Path, overwrite: bool) -> None:
        """Check that a run may be made at ``path``; to be asked before long work.

        Raises:
            OutputError: The folder is occupied, and is no run that may be overwritten.
        """
        path = Path(path)
        is_run = (path / SETTINGS_FILE).is_file()
        if is_run and not overwrite:
            raise OutputError(
                f"{path} holds a run already. Go on with it by resume (--resume), replace it by "
                "overwrite (--overwrite), or choose another folder."
            )
        if is_occupied(path) and not is_run:
            raise OutputError(
                f"A run needs a folder of its own. {path} holds something else, which is never "
                "overwritten. Choose another folder."
            )

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Find the run in a folder, and clear away what an interrupted one left half made.

        Raises:
            OutputError: The folder holds no run, or one of another version.
        """
        path = Path(path)
        try:
            description = json.loads((path / SETTINGS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OutputError(f"{path} holds no run to resume: {error}.") from error
        if description.get("schema_version") != SCHEMA_VERSION:
            raise OutputError(
                f"This keras-pneumo ({__version__}) resumes runs of schema version "
                f"{SCHEMA_VERSION}. Found {description.get('schema_version')!r} in "
                f"{path / SETTINGS_FILE}. Use the version that began it."
            )
        for leftover in path.rglob(".*.tmp*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        settings = TrainSettings.from_dict(description["settings"])
        return cls(path, settings, description["data"])

    @property
    def state(self) -> RunState:
        """How far the run came, as its folder says now."""
        file = self.path / STATE_FILE
        if not file.is_file():
            return RunState()
        stored = json.loads(file.read_text(encoding="utf-8"))
        return RunState(tuple(Epoch(**epoch) for epoch in stored["epochs"]), stored["finished"])

    def write_state(self, state: RunState) -> None:
        """Record how far the run came; then delete the checkpoints that no longer count."""
        with replacing(self.path / STATE_FILE) as temporary:
            temporary.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
        if state.best:
            needed = {self.best_weights(state.best)}
            if not state.finished:
                needed.add(self.last_weights(state.epochs[-1]))
            for file in (self.path / "checkpoints").glob("*.weights.h5"):
                if file not in needed:
                    file.unlink()

    def finish(self) -> None:
        """Record that model and evaluation are written."""
        self.write_state(replace(self.state, finished=True))

    def last_weights(self, epoch: Epoch) -> Path:
        """Weights and optimizer after an epoch, to go on from."""
        return self.path / "checkpoints" / f"last-{epoch.epoch:03d}.weights.h5"

    def best_weights(self, epoch: Epoch) -> Path:
        """Weights alone after an epoch that was the best so far."""
        return self.path / "checkpoints" / f"best-{epoch.epoch:03d}.weights.h5"

    @property
    def model(self) -> Path:
        """Where the trained model is saved."""
        return self.path / "model"

    @property
    def evaluation(self) -> Path:
        """Where the report is saved."""
        return self.path / "evaluation"

    @property
    def curves(self) -> Path:
        """The picture of the training curves."""
        return self.path / "training_curves.png"


def _best(epochs: Sequence[Epoch]) -> Epoch | None:
    return max(epochs, key=lambda epoch: epoch.rank, default=None)  # the first among equals
