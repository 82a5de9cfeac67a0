"""The two phases, epoch by epoch, so that every finished epoch survives an interruption."""

import logging
import math
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from keras_pneumo.data.pipeline import Splits
from keras_pneumo.errors import TrainingError
from keras_pneumo.files import replacing
from keras_pneumo.models.classifier import PneumoniaClassifier
from keras_pneumo.training.fitting import PHASES, Features, Fitting, begin
from keras_pneumo.training.run_directory import Epoch, RunDirectory, RunState

logger = logging.getLogger(__name__)


class _EndOfEpoch(keras.callbacks.Callback):
    """Ends ``fit`` after an epoch, and remembers what the epoch trained.

    Afterwards ``fit`` puts the optimizer's average, if it keeps one, in place of the weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = True
        if self.model.optimizer.use_ema:
            self.trained = [
                keras.ops.convert_to_numpy(variable).copy()
                for variable in self.model.trainable_variables
            ]


def train_phases(
    model: PneumoniaClassifier,
    splits: Splits,
    run: RunDirectory,
    features: Features,
    verbose: Any,
) -> RunState:
    """Train the head, then the top layers; afterwards ``model`` has the best epoch's weights.

    Begins where the run's state says. Each epoch is one call of ``fit``, whose batches depend on
    the epoch's number alone; weights, optimizer and state are saved after each.

    Args:
        model: The model, with the weights it starts from.
        splits: The collection.
        run: The run's folder.
        features: Prepares what each phase trains on.
        verbose: As for ``keras.Model.fit``.

    Returns:
        The state with all epochs of both phases.

    Raises:
        TrainingError: The loss or the scores are no numbers.
    """
    settings = run.settings
    for number, phase in enumerate(PHASES, 1):
        most = settings.head_epochs if phase == "head" else settings.fine_tune_epochs
        if run.state.is_phase_done(phase, most, settings.patience):
            continue
        summary = begin(model, phase, settings, splits)
        logger.info("Phase %d of 2, %s: %s.", number, phase.replace("_", "-"), summary)
        fitting = features.fitting(phase)
        _restore(model, run, phase)
        while not run.state.is_phase_done(phase, most, settings.patience):
            epoch, trained = _train_epoch(model, fitting, splits, run, phase, most, verbose)
            _save(model, run, epoch, trained)
    best = run.state.best
    assert best is not None  # phase 1 has at least one epoch
    model.plain().load_weights(run.best_weights(best))
    logger.info("Best epoch: %d, validation AUC %.4f.", best.epoch, best.val_auc)
    return run.state


def _restore(model: PneumoniaClassifier, run: RunDirectory, phase: str) -> None:
    state = run.state
    if state.of_phase(phase):
        # The optimizer's slots must exist to be filled from the file.
        model.optimizer.build(model.trainable_variables)
        model.load_weights(run.last_weights(state.epochs[-1]))
    elif state.best:
        model.plain().load_weights(run.best_weights(state.best))


def _train_epoch(
    model: PneumoniaClassifier,
    fitting: Fitting,
    splits: Splits,
    run: RunDirectory,
    phase: str,
    most: int,
    verbose: Any,
) -> tuple[Epoch, list[np.ndarray]]:
    state = run.state
    number = len(state.epochs)
    _reseed(model, run.settings.seed, number)
    end = _EndOfEpoch()
    history = fitting.fit(
        number,
        initial_epoch=len(state.of_phase(phase)),
        epochs=most,
        class_weight=splits.class_weight,
        shuffle=False,  # the pipeline has done it
        callbacks=[end],
        verbose=verbose,
    ).history
    trained = {name: float(history[name][-1]) for name in ("loss", "accuracy", "auc")}
    labels = splits.examples("validation").label
    scores = fitting.validation_scores(verbose)
    if not (math.isfinite(trained["loss"]) and bool((scores == scores).all())):
        raise TrainingError(
            f"The loss must be a number. Epoch {number + 1} ({phase}) ended with a loss of "
            f"{trained['loss']}: training diverged. Start again with a lower learning rate."
        )
    epoch = Epoch(
        phase=phase,
        epoch=number + 1,
        **trained,
        val_loss=float(log_loss(labels, scores, labels=[0, 1])),
        val_accuracy=float(accuracy_score(labels, scores >= 0.5)),
        # Exact, since Keras's AUC of 200 thresholds cannot tell good epochs apart.
        val_auc=float(roc_auc_score(labels, scores)),
    )
    better = ", the best so far" if epoch.is_better_than(state.best) else ""
    logger.info(
        "Validation: loss %.4f, accuracy %.4f, AUC %.4f%s.",
        epoch.val_loss,
        epoch.val_accuracy,
        epoch.val_auc,
        better,
    )
    return epoch, end.trained


def _reseed(model: PneumoniaClassifier, seed: int, epoch: int) -> None:
    # Keras does not save where dropout's random numbers have got to; so they begin anew with each
    # epoch, and an interruption changes nothing.
    for position, state in enumerate(model.non_trainable_variables):
        if state.path.endswith("seed_generator_state"):
            fresh = np.random.SeedSequence([seed, epoch, position]).generate_state(2)
            state.assign(fresh.astype(state.dtype))


def _save(
    model: PneumoniaClassifier, run: RunDirectory, epoch: Epoch, trained: list[np.ndarray]
) -> None:
    state = run.state
    if epoch.is_better_than(state.best):
        with replacing(run.best_weights(epoch)) as temporary:
            model.plain().save_weights(temporary)
    # What is kept may be an average; what training goes on from is not.
    for variable, value in zip(model.trainable_variables, trained, strict=bool(trained)):
        variable.assign(value)
    with replacing(run.last_weights(epoch)) as temporary:
        model.save_weights(temporary)
    run.write_state(replace(state, epochs=(*state.epochs, epoch)))
