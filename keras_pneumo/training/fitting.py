"""One epoch at a time, on images or on features that a frozen prefix gave once."""

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_pneumo import __version__
from keras_pneumo.data.pipeline import Splits
from keras_pneumo.models.classifier import PneumoniaClassifier, Trainable
from keras_pneumo.models.compiled import check_batch_size, compiled, slices
from keras_pneumo.models.cut import Cut, cut
from keras_pneumo.models.precision import choose_precision, in_precision
from keras_pneumo.training.batches import Batches
from keras_pneumo.training.feature_cache import (
    VALIDATION,
    FeatureCache,
    Source,
    fingerprint,
    require_room,
)
from keras_pneumo.training.settings import TrainSettings

logger = logging.getLogger(__name__)

PHASES = ("head", "fine_tune")


def begin(
    model: PneumoniaClassifier, phase: str, settings: TrainSettings, splits: Splits
) -> Trainable:
    """Let train what trains in a phase, one of ``PHASES``, and compile the model for it."""
    loss = keras.losses.BinaryCrossentropy(label_smoothing=settings.label_smoothing)
    if phase == "head":
        return model.fine_tune(0, settings.head_learning_rate, loss=loss)
    steps_per_epoch = math.ceil(len(splits.examples("train")) / settings.batch_size)
    return model.fine_tune(
        settings.fine_tune_layers,
        train_batch_norm=settings.train_batch_norm,
        optimizer=_fine_tune_optimizer(settings, steps_per_epoch),
        loss=loss,
    )


def _fine_tune_optimizer(
    settings: TrainSettings, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    rate: Any = settings.fine_tune_learning_rate
    if settings.schedule == "cosine":
        warm_up = steps_per_epoch // 2
        rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            steps_per_epoch * settings.fine_tune_epochs - warm_up,
            alpha=0.01,
            warmup_target=rate,
            warmup_steps=warm_up,
        )
    average = {"use_ema": True, "ema_momentum": settings.ema_momentum}
    options: dict[str, Any] = average if settings.ema_momentum else {}
    if not settings.weight_decay:
        return keras.optimizers.Adam(rate, **options)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class Fitting(Protocol):
    """Trains for one epoch, and predicts the validation split."""

    def fit(self, epoch: int, **kwargs: Any) -> Any:
        """Train on the batches of an epoch, from 0; ``kwargs`` as for ``keras.Model.fit``."""

    def validation_scores(self, verbose: Any) -> np.ndarray:
        """Return the probabilities of the validation split, float64 ``(n,)``."""


@dataclass(frozen=True)
class OnImages:
    """Trains the whole model on images."""

    model: PneumoniaClassifier
    splits: Splits

    def fit(self, epoch: int, **kwargs: Any) -> Any:
        """As ``Fitting.fit``."""
        return self.model.fit(self.splits.train_epoch(epoch), **kwargs)

    def validation_scores(self, verbose: Any) -> np.ndarray:
        """As ``Fitting.validation_scores``."""
        scores = self.model.predict(self.splits.validation, verbose=verbose)
        return scores[:, 0].astype("float64")


@dataclass(frozen=True)
class OnFeatures:
    """Trains what is above a cut, on features: of each view, and of the validation split."""

    tail: keras.Model
    splits: Splits
    views: Sequence[np.ndarray]
    validation: np.ndarray
    batch_size: int

    def fit(self, epoch: int, **kwargs: Any) -> Any:
        """As ``Fitting.fit``."""
        labels, order = self.splits.examples("train").label, self.splits.epoch_order(epoch)
        return self.tail.fit(Batches(self.views, labels, order, self.batch_size, epoch), **kwargs)

    def validation_scores(self, verbose: Any) -> np.ndarray:
        """As ``Fitting.validation_scores``."""
        order = np.arange(len(self.validation))
        batches = Batches([self.validation], None, order, self.batch_size)
        return self.tail.predict(batches, verbose=verbose)[:, 0].astype("float64")


class Features:
    """Prepares the fitting of each phase, and the caches that it needs.

    What is frozen in both phases is computed on the images once; what is frozen in the first phase
    alone is computed on that.

    Args:
        model: The model, with the weights it starts from.
        splits: The collection.
        settings: The recipe.
        data: The fingerprint of the files.
        root: The folder of the caches.

    Raises:
        SettingsError: There is no such stage, or no such precision.
    """

    def __init__(
        self,
        model: PneumoniaClassifier,
        splits: Splits,
        settings: TrainSettings,
        data: str,
        root: Path,
    ) -> None:
        self._model, self._splits, self._settings = model, splits, settings
        self._precision = choose_precision(settings.precision)
        self._parts: dict[str, Cut] = {}
        self._keys: dict[str, dict[str, Any]] = {}
        self._caches: dict[str, FeatureCache] = {}
        for phase in reversed(PHASES):
            begin(model, phase, settings, splits)
            parts = cut(model) if settings.cache else None
            if parts and (phase == "head" or settings.fine_tune_epochs):
                self._parts[phase] = parts
                key = self._keys[phase] = self._key(phase, data)
                self._caches[phase] = self._cache(parts, root / fingerprint(key))

    def fitting(self, phase: str) -> Fitting:
        """Prepare a phase that has begun.

        Raises:
            OutputError: The disk has not the room for the features.
        """
        model = self._model
        if phase not in self._parts:
            return OnImages(model, self._splits)
        tail = self._parts[phase].tail
        tail.compile(
            optimizer=model.optimizer,
            loss=model.loss,
            metrics=[
                keras.metrics.BinaryAccuracy(name="accuracy"),
                keras.metrics.AUC(name="auc"),
            ],
            jit_compile=model.jit_compile,
        )
        require_room(self._caches.values())
        cache = self._filled(phase)
        # Opened once: another training with the same features may delete them when it ends.
        views = [cache.read(part) for part in cache.parts if part != VALIDATION]
        validation, batch_size = cache.read(VALIDATION), self._settings.batch_size
        return OnFeatures(tail, self._splits, views, validation, batch_size)

    def end(self, *, keep: bool) -> None:
        """Keep the caches of all phases for other trainings, or delete what nobody keeps."""
        for cache in self._caches.values():
            if keep:
                cache.keep()
            else:
                cache.delete()

    def _key(self, phase: str, data: str) -> dict[str, Any]:
        settings, parts, below = self._settings, self._parts[phase], self._below(phase)
        return {
            "keras_pneumo": __version__,
            "backend": keras.backend.backend(),
            "boundary": parts.boundary,
            "computed_from": below.boundary if below else "images",
            "weights": _weights_hash(parts.prefix),
            "data": data,
            "config": self._splits.config,
            "image_size": list(settings.image_size),
            "resize": settings.resize,
            "augmentation": settings.augmentation,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
            "precision": self._precision,
            "dtype": self._dtype,
        }

    def _below(self, phase: str) -> Cut | None:
        """The cut whose features those of a phase are computed on; None for the images."""
        lower = self._parts.get("fine_tune") if phase == "head" else None
        return lower if lower and lower.to_features else None

    @property
    def _dtype(self) -> str:
        # Two bytes a number, unless the numbers are to be exact.
        return "float32" if self._settings.precision == "float32" else "float16"

    def _cache(self, parts: Cut, directory: Path) -> FeatureCache:
        settings = self._settings
        return FeatureCache(
            directory,
            rows={name: len(self._splits.examples(name)) for name in ("train", "validation")},
            shape=tuple(parts.prefix.output_shape[1:]),
            dtype=self._dtype,
            views=1 if settings.augmentation == "none" else settings.views,
        )

    def _filled(self, phase: str) -> FeatureCache:
        parts, cache, below = self._parts[phase], self._caches[phase], self._below(phase)
        logger.info(
            "Features of %s, %d view%s, %.2f GB in %s, computed in %s.",
            parts.boundary,
            cache.views,
            "s" if cache.views > 1 else "",
            cache.size / 1e9,
            cache.directory,
            self._precision,
        )
        if below:
            source = self._from_cache(self._filled("fine_tune"), below.to_features)
        else:
            source = self._from_images(parts.prefix)
        cache.fill(source, self._keys[phase])
        return cache

    def _from_images(self, prefix: keras.Model) -> Source:
        compute = compiled(in_precision(prefix, self._precision))
        size = check_batch_size(None)

        def batches(part: str, start: int) -> Iterator[np.ndarray]:
            if part == VALIDATION:
                images = self._splits.validation
            else:
                images = self._splits.view(int(part.removeprefix("view-")))
            # Skipped ones are augmented all the same, so that the next have their own variation.
            rest = images.unbatch().skip(start).batch(size).prefetch(tf.data.AUTOTUNE)
            for some, _ in rest.as_numpy_iterator():
                yield compute(some, size)

        return batches

    def _from_cache(self, below: FeatureCache, model: keras.Model) -> Source:
        compute, size = compiled(model), check_batch_size(None)

        def batches(part: str, start: int) -> Iterator[np.ndarray]:
            for some in slices(below.read(part)[start:], size):
                yield compute(some, size)

        return batches


def _weights_hash(model: keras.Model) -> str:
    """Return the SHA-256 of all weights of a model, in hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
