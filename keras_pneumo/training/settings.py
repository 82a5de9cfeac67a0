"""Every setting of a training, in one frozen value."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from keras_pneumo.errors import SettingsError
from keras_pneumo.evaluation.policies import ThresholdPolicy
from keras_pneumo.models.architectures import check_architecture

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The recipe: two phases, first the head on a frozen backbone, then its top layers.

    Attributes:
        model: Architecture: ``"resnet50"``.
        weights: Start of the backbone: ``"imagenet"``, None (random), or a ``.weights.h5`` file.
        image_size: ``(height, width)`` in pixels.
        resize: ``"stretch"`` or ``"pad"``.
        dropout: Fraction of the pooled features dropped in training, in [0, 1).
        config: Config of the builder; None chooses the patient-grouped one of the folder's layout.
        split_seed: Seed of the split by patient.
        augmentation: ``"none"``, ``"standard"``, ``"framing"`` or ``"keras_cv"``.
        batch_size: Images in a batch.
        head_epochs: Most epochs of phase 1.
        head_learning_rate: Of Adam in phase 1.
        fine_tune_layers: What phase 2 trains: a number of layers, a stage, or ``"all"``.
        fine_tune_epochs: Most epochs of phase 2; 0 leaves it out.
        fine_tune_learning_rate: Of Adam in phase 2.
        schedule: Of the learning rate in phase 2: ``"constant"``; or ``"cosine"``, which rises for
            half an epoch and falls to a hundredth along a cosine (Loshchilov and Hutter, "SGDR",
            2016, arXiv:1608.03983).
        weight_decay: Decoupled weight decay in phase 2, at least 0; of kernels, not of biases and
            normalisation (AdamW; Loshchilov and Hutter, 2017, arXiv:1711.05101).
        ema_momentum: Average the weights of phase 2 over its steps, exponentially with this factor
            in (0, 1): 0.99 remembers about a hundred steps. The average is what is validated and
            kept; training goes on from the weights themselves. None for no average.
        label_smoothing: How far labels move towards 0.5 in both phases, in [0, 1): with 0.1 they
            are 0.05 and 0.95 (Szegedy et al., 2015, arXiv:1512.00567).
        train_batch_norm: Let BatchNormalization train in phase 2. For stages without pretrained
            weights; otherwise its ImageNet statistics are better than those of small batches.
        cache: Compute what is frozen in a phase once for each view of an image, and train on that.
            Otherwise it is computed anew in every epoch.
        views: How many augmented views of each training image there are with ``cache``; without
            it, every epoch has a new one.
        precision: Of what is computed once: ``"float32"``; ``"bfloat16"``; or ``"auto"``, bfloat16
            where the hardware has it, kept on disk as float16.
        patience: Epochs without a better validation AUC after which a phase ends.
        threshold: Policy that chooses the operating threshold on the validation split:
            ``"youden"``, ``"sensitivity=0.95"``, ``"specificity=0.9"``, ``"f_beta=2"``,
            ``"cost_ratio=5"``, ``"cost_ratio=5@prevalence=0.1"`` or ``"fixed=0.5"``.
        evaluate_on: Splits of the final report. Leave ``"test"`` out while you still choose
            settings: what was chosen on it cannot be judged by it.
        seed: Of initial weights, dropout, order and augmentation.

    Raises:
        SettingsError: A value is out of range.

    Examples:
        >>> TrainSettings(head_epochs=2).head_epochs
        2
    """

    model: str = "resnet50"
    weights: str | None = "imagenet"
    image_size: tuple[int, int] = (224, 224)
    resize: str = "stretch"
    dropout: float = 0.2
    config: str | None = None
    split_seed: int = 0
    augmentation: str = "standard"
    batch_size: int = 32
    # The head has 2,049 weights: it settles in a few passes, at a rate that would ruin a backbone.
    head_epochs: int = 5
    head_learning_rate: float = 1e-3
    # The last stage is where ImageNet's classes live; what lies below suits radiographs as it is.
    fine_tune_layers: int | str = "conv5"
    fine_tune_epochs: int = 10
    fine_tune_learning_rate: float = 1e-5
    schedule: str = "constant"
    weight_decay: float = 0.0
    ema_momentum: float | None = None
    label_smoothing: float = 0.0
    train_batch_norm: bool = False
    cache: bool = True
    views: int = 2
    precision: str = "auto"
    patience: int = 3
    threshold: str = "youden"
    evaluate_on: tuple[str, ...] = ("validation", "test")
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what can be checked before the data and the model are there."""
        # JSON gives lists back.
        object.__setattr__(self, "image_size", tuple(self.image_size))
        object.__setattr__(self, "evaluate_on", tuple(self.evaluate_on))
        check_architecture(self.model)
        for name, least in {
            "head_epochs": 1,
            "fine_tune_epochs": 0,
            "views": 1,
            "patience": 1,
        }.items():
            if getattr(self, name) < least:
                raise SettingsError(
                    f"`{name}` must be at least {least}. Received: {getattr(self, name)!r}."
                )
        for name in ("head_learning_rate", "fine_tune_learning_rate"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"`{name}` must be above 0. Received: {getattr(self, name)!r}.")
        if self.schedule not in SCHEDULES:
            raise SettingsError(
                f"`schedule` must be one of {', '.join(map(repr, SCHEDULES))}. "
                f"Received: {self.schedule!r}."
            )
        if not self.weight_decay >= 0:
            raise SettingsError(
                f"`weight_decay` must be at least 0. Received: {self.weight_decay!r}."
            )
        if self.ema_momentum is not None and not 0 < self.ema_momentum < 1:
            raise SettingsError(
                f"`ema_momentum` must be in (0, 1), or None. Received: {self.ema_momentum!r}."
            )
        if not 0 <= self.label_smoothing < 1:
            raise SettingsError(
                f"`label_smoothing` must be in [0, 1). Received: {self.label_smoothing!r}."
            )
        ThresholdPolicy.parse(self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Every setting by its name, as JSON would hold it."""
        return {
            **asdict(self),
            **{k: list(getattr(self, k)) for k in ("image_size", "evaluate_on")},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read settings back.

        Raises:
            SettingsError: A name is no setting, or a value is out of range.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise SettingsError(
                f"Unknown settings: {', '.join(sorted(unknown))}. "
                f"Known: {', '.join(field.name for field in fields(cls))}."
            )
        return cls(**values)
