"""One epoch at a time, on images or on features that a frozen prefix gave once."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from keras_pneumo import __version__
from keras_pneumo.data.pipeline import Splits
from keras_pneumo.models.classifier import PneumoniaClassifier
from keras_pneumo.models.cut import Cut, cut
from keras_pneumo.models.precision import choose_precision, in_precision
from keras_pneumo.training.feature_cache import (
    VALIDATION,
    Batches,
    FeatureCache,
    Source,
    fingerprint,
    weights_hash,
)
from keras_pneumo.training.settings import TrainSettings

logger = logging.getLogger(__name__)


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
    """Trains what is above a cut, on the features that a cache has."""

    tail: keras.Model
    splits: Splits
    cache: FeatureCache
    batch_size: int

    def fit(self, epoch: int, **kwargs: Any) -> Any:
        """As ``Fitting.fit``."""
        labels = self.splits.examples("train").label
        order = self.splits.epoch_order(epoch)
        return self.tail.fit(Batches(self.cache, labels, order, self.batch_size, epoch), **kwargs)

    def validation_scores(self, verbose: Any) -> np.ndarray:
        """As ``Fitting.validation_scores``."""
        order = np.arange(len(self.splits.examples("validation")))
        batches = Batches(self.cache, None, order, self.batch_size, None)
        return self.tail.predict(batches, verbose=verbose)[:, 0].astype("float64")


class Features:
    """Prepares the fitting of each phase, and the caches that it needs.

    What is frozen in both phases is computed on the images once; what is frozen in the first phase
    alone is computed on that.

    Args:
        model: The model; it is fine-tuned as in the second phase.
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
        self._data, self._root = data, root
        self._precision = choose_precision(settings.precision)
        self._used: list[FeatureCache] = []
        model.fine_tune(settings.fine_tune_layers, train_batch_norm=settings.train_batch_norm)
        self._lower = cut(model) if settings.fine_tune_epochs else None

    def fitting(self, phase: str) -> Fitting:
        """Prepare a phase, for which ``fine_tune`` has been called.

        Raises:
            OutputError: The disk has not the room for the features.
        """
        model, settings = self._model, self._settings
        parts = cut(model) if settings.cache else None
        if parts is None:
            return OnImages(model, self._splits)
        lower = self._lower
        if phase == "head" and lower and lower.to_features:
            below = self._cache_of(lower, self._from_images(lower.prefix))
            cache = self._cache_of(parts, self._from_cache(below, lower.to_features))
        else:
            cache = self._cache_of(parts, self._from_images(parts.prefix))
        parts.tail.compile(
            optimizer=model.optimizer,
            loss=model.loss,
            metrics=[
                keras.metrics.BinaryAccuracy(name="accuracy"),
                keras.metrics.AUC(name="auc"),
            ],
            jit_compile=model.jit_compile,
        )
        return OnFeatures(parts.tail, self._splits, cache, settings.batch_size)

    def delete(self) -> None:
        """Delete the caches that were used."""
        for cache in self._used:
            cache.delete()

    def _cache_of(self, parts: Cut, source: Source) -> FeatureCache:
        settings = self._settings
        key = {
            "keras_pneumo": __version__,
            "backend": keras.backend.backend(),
            "boundary": parts.boundary,
            "weights": weights_hash(parts.prefix),
            "data": self._data,
            "config": self._splits.config,
            "image_size": list(settings.image_size),
            "resize": settings.resize,
            "augmentation": settings.augmentation,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
            "precision": self._precision,
        }
        rows = {name: len(self._splits.examples(name)) for name in ("train", "validation")}
        cache = FeatureCache(
            self._root / fingerprint(key),
            rows=rows,
            shape=tuple(parts.prefix.output_shape[1:]),
            # Two bytes a number, unless the numbers are to be exact.
            dtype="float32" if settings.precision == "float32" else "float16",
            views=1 if settings.augmentation == "none" else settings.views,
        )
        self._used.append(cache)
        logger.info(
            "Features of %s, %d view%s, %.2f GB in %s, computed in %s.",
            parts.boundary,
            cache.views,
            "s" if cache.views > 1 else "",
            cache.size / 1e9,
            cache.directory,
            self._precision,
        )
        cache.fill(source, key)
        return cache

    def _from_images(self, prefix: keras.Model) -> Source:
        prefix = in_precision(prefix, self._precision)

        def batches(part: str) -> Iterator[np.ndarray]:
            if part == VALIDATION:
                images = self._splits.validation
            else:
                images = self._splits.view(int(part.removeprefix("view-")))
            for batch, _ in images.as_numpy_iterator():
                yield prefix.predict_on_batch(batch)

        return batches

    def _from_cache(self, below: FeatureCache, model: keras.Model) -> Source:
        size = self._settings.batch_size

        def batches(part: str) -> Iterator[np.ndarray]:
            features = below.read(part)
            for start in range(0, len(features), size):
                yield model.predict_on_batch(features[start : start + size].astype("float32"))

        return batches
