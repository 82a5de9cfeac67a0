"""What a shortcut audit found, as values."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from keras_pneumo.evaluation.bootstrap import Estimate
from keras_pneumo.inspection.shortcut_text import as_text


@dataclass(frozen=True)
class AlteredMetrics:
    """The metrics on altered images, and their change against the unaltered ones.

    Attributes:
        group: Of the alteration, such as ``"Occlusion"``.
        name: Of the alteration, such as ``"border_10_black"``.
        title: Of the alteration, such as ``"Border of 10 % black"``.
        metrics: "roc_auc", "specificity" and "recall" at the model's threshold.
        changes: Altered − unaltered of each, with the paired interval.
    """

    group: str
    name: str
    title: str
    metrics: Mapping[str, Estimate]
    changes: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        of_metric = {
            name: found.to_dict()
            | {
                "change": _plain(self.changes[name].value),
                "change_low": _plain(self.changes[name].low),
                "change_high": _plain(self.changes[name].high),
            }
            for name, found in self.metrics.items()
        }
        return {"group": self.group, "name": self.name, "title": self.title, "metrics": of_metric}


@dataclass(frozen=True)
class ProbeScores:
    """What the model says of images that show no chest, or of the inverted radiographs.

    Attributes:
        name: Of the probe, such as ``"blank_black"``.
        title: For people, such as ``"Black image"``.
        images: How many there were.
        mean: Of the probabilities of PNEUMONIA, in [0, 1].
        lowest: Of the probabilities.
        highest: Of the probabilities.
        called_pneumonia: How many are called PNEUMONIA at the model's threshold.
    """

    name: str
    title: str
    images: int
    mean: float
    lowest: float
    highest: float
    called_pneumonia: int


@dataclass(frozen=True)
class OutsideCentre:
    """How much of the heat maps lies outside the central field of 60 % x 60 %.

    Attributes:
        value: Mean over the images of sum(heat outside) / sum(heat), in [0, 1]; NaN without any
            heat.
        low: Of its percentile interval, patients drawn with replacement; NaN for one patient.
        high: Of its interval.
        area: Share of the image that lies outside: what a heat map has that is equal everywhere.
        images: How many have a heat map that is not zero everywhere; the others are left out.
    """

    value: float
    low: float
    high: float
    area: float
    images: int


@dataclass(frozen=True)
class ShortcutAudit:
    """What a model leans on; made by ``measure_shortcuts``. ``str(audit)`` is its table.

    Attributes:
        split: Name of the split that the images are from.
        images: How many there are.
        patients: How many patients they are of.
        threshold: The model's; a probability of at least this is called PNEUMONIA.
        level: Of the intervals.
        resamples: Of the bootstrap.
        seed: Of the bootstrap, the noise and the images that were drawn.
        unaltered: "roc_auc", "specificity" and "recall" of the images as they are.
        rows: The same of the altered images, in the order of ``ALTERATIONS``.
        probes: Images that show no chest, and the inverted radiographs.
        outside_centre: The heat outside the central field.
    """

    split: str
    images: int
    patients: int
    threshold: float
    level: float
    resamples: int
    seed: int
    unaltered: Mapping[str, Estimate]
    rows: tuple[AlteredMetrics, ...]
    probes: tuple[ProbeScores, ...]
    outside_centre: OutsideCentre

    def __str__(self) -> str:
        """The tables of ``to_text``."""
        return self.to_text()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, with None for NaN.

        - ``split``, ``images``, ``patients``, ``threshold``, ``level``, ``resamples``, ``seed``;
        - ``unaltered``: ``{"value", "low", "high"}`` of ``roc_auc``, ``specificity``, ``recall``;
        - ``rows``: ``group``, ``name``, ``title`` and ``metrics``: of the same three the above and
          ``change``, ``change_low``, ``change_high``;
        - ``probes``: the attributes of ``ProbeScores``;
        - ``outside_centre``: the attributes of ``OutsideCentre``.
        """
        outside = asdict(self.outside_centre)
        plain = ("split", "images", "patients", "threshold", "level", "resamples", "seed")
        return {
            **{name: getattr(self, name) for name in plain},
            "unaltered": {name: found.to_dict() for name, found in self.unaltered.items()},
            "rows": [row.to_dict() for row in self.rows],
            "probes": [asdict(probe) for probe in self.probes],
            "outside_centre": {name: _plain(value) for name, value in outside.items()},
        }

    def to_text(self) -> str:
        """Return the audit as tables for the terminal, 80 columns wide."""
        return as_text(self.to_dict())


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
