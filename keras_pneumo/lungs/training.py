"""A segmenter is trained: pairs of images and masks become weights."""

import logging
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pneumo import __version__
from keras_pneumo.data.duplicates import identical_files
from keras_pneumo.data.layout import Record, read_collection, require_splits
from keras_pneumo.data.splits import grouped_split
from keras_pneumo.errors import DataError, SettingsError, TrainingError
from keras_pneumo.files import new_directory
from keras_pneumo.lungs.agreement import as_rgb, measure_agreement, read_grey
from keras_pneumo.lungs.field import Mask
from keras_pneumo.lungs.masks import read_masks
from keras_pneumo.lungs.segmenter import DESCRIPTION_FILE, LungSegmenter
from keras_pneumo.lungs.variation import Grey, vary
from keras_pneumo.models.compiled import jit_compile

_logger = logging.getLogger(__name__)

HELD_OUT = 0.1


class VariedPairs(keras.utils.PyDataset):
    """Batches of varied images and masks; what a batch holds depends on seed and number alone.

    Args:
        pictures: Grey images, each uint8 ``(2 * height, 2 * width)`` in [0, 255].
        masks: Their masks, each bool ``(height, width)``.
        batch_size: Images in a batch; what is left over at the end of an epoch is left out.
        seed: Of order and variations.
    """

    def __init__(
        self, pictures: Sequence[Grey], masks: Sequence[Mask], batch_size: int, seed: int
    ) -> None:
        super().__init__(workers=1)
        self.pictures, self.masks = pictures, masks
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.pictures) // self.batch_size

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Give uint8 ``(batch, height, width, 3)`` and float32 ``(batch, height, width, 1)``."""
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.pictures))
        rows = order[number * self.batch_size : (number + 1) * self.batch_size]
        rng = np.random.default_rng([self.seed, self.epoch, number])
        varied = [vary(self.pictures[row], self.masks[row], rng) for row in rows]
        pictures, masks = (np.stack(part)[..., None] for part in zip(*varied, strict=True))
        return np.repeat(pictures, 3, axis=-1), masks.astype(np.float32)

    def on_epoch_end(self) -> None:
        """Vary and order anew in the next epoch."""
        self.epoch += 1


def train_segmenter(
    data_dir: str | Path,
    masks: str | Path,
    output: str | Path,
    *,
    image_size: tuple[int, int] = (112, 112),
    epochs: int = 32,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    seed: int = 0,
    overwrite: bool = False,
    verbose: Any = "auto",
) -> LungSegmenter:
    """Train a segmenter on images and masks, and save it with its figures on held-out patients.

    Images of the folder's ``train`` that have a mask are divided by patient: a tenth is held out
    and chooses the epoch, by its mean Dice. A folder of class folders is divided whole. Images of
    ``val`` and ``test`` are not read. Each image is varied anew in each epoch, see ``vary``. The
    loss is binary cross-entropy plus soft Dice; AdamW's learning rate falls along a cosine to 0.

    Args:
        data_dir: A folder in one of the layouts of ``read_collection``.
        masks: A folder of masks or an ``.npz`` file, see ``read_masks``.
        output: The folder to make, which ``LungSegmenter.from_preset`` opens. It appears when all
            is done, or not at all.
        image_size: ``(height, width)`` of the segmenter in pixels, and of the masks in an ``.npz``.
        epochs: Times that each image is seen, at least 1.
        batch_size: Images in a batch, at least 1.
        learning_rate: The highest, reached after the first twentieth of the steps; above 0.
        seed: Of initial weights, split, order and variations.
        overwrite: Replace the folder if it holds a segmenter.
        verbose: As for ``keras.Model.fit``.

    Returns:
        The segmenter as it was saved, with ``metadata``: "data", "recipe", "versions", "epochs"
        (loss and held-out Dice of each) and "held_out" (see ``Agreement``).

    Raises:
        SettingsError: A number is out of range.
        LayoutError: The folder is no collection, or has no ``train``.
        DataError: The masks cannot be read or fit no image, or there are too few patients.
        ImageError: An image cannot be read.
        OutputError: The output is occupied.
        TrainingError: The loss is no number.

    Examples:
        ```python
        model = train_segmenter("chest_xray", "lung_masks", "lungs")
        print(model.metadata["held_out"]["dice_mean"])
        ```

    References:
        Milletari et al., "V-Net", 2016, arXiv:1606.04797, for the Dice loss.
    """
    if min(epochs, batch_size) < 1 or not learning_rate > 0:
        raise SettingsError(
            "`epochs` and `batch_size` must be at least 1, `learning_rate` above 0. Received: "
            f"{epochs!r}, {batch_size!r}, {learning_rate!r}."
        )
    keras.utils.set_random_seed(seed)
    model = LungSegmenter(image_size)
    size = model.image_size
    with new_directory(output, marker=DESCRIPTION_FILE, overwrite=overwrite) as folder:
        train, held_out, mask_of = divide(data_dir, masks, size, seed)
        if len(train) < batch_size:
            raise DataError(
                f"A batch of {batch_size} needs as many images to train on. Found: {len(train)} "
                f"with a mask in {data_dir}. Add masks, or choose a smaller `batch_size`."
            )
        _logger.info("Lungs: %d images to train on, %d held out", len(train), len(held_out))
        pairs = VariedPairs(
            list(read_grey(train, (2 * size[0], 2 * size[1]))),
            [mask_of[record.filename] for record in train],
            batch_size,
            seed,
        )
        validation = (
            as_rgb(np.stack(list(read_grey(held_out, size)))),
            np.stack([mask_of[record.filename] for record in held_out])[..., None].astype(
                "float32"
            ),
        )
        history = _fit(model, pairs, validation, epochs, learning_rate, verbose)
        # Rounded as they will be saved, so that the figures are those of the file.
        model.set_weights([weight.astype("float16") for weight in model.get_weights()])
        model.metadata = {
            "data": {"train": _counted(train), "held_out": _counted(held_out)},
            "recipe": {
                "image_size": list(size),
                "epochs": epochs,
                "batch_size": batch_size,
                "learning_rate": learning_rate,
                "seed": seed,
            },
            "versions": {
                "keras_pneumo": __version__,
                "keras": keras.__version__,
                keras.backend.backend(): version(keras.backend.backend()),
                "numpy": np.__version__,
                "pillow": version("pillow"),
            },
            "epochs": history,
            "held_out": measure_agreement(model, held_out, mask_of).to_dict(),
        }
        model.save_to_preset(folder)
    return model


def divide(
    data_dir: str | Path, masks: str | Path, image_size: tuple[int, int], seed: int
) -> tuple[list[Record], list[Record], dict[str, Mask]]:
    """Divide the images of ``train`` that have a mask by patient, as ``train_segmenter`` does.

    Args:
        data_dir: A folder in one of the layouts of ``read_collection``.
        masks: See ``read_masks``.
        image_size: ``(height, width)`` of the masks to return.
        seed: Another seed holds out other patients.

    Returns:
        The records to train on, a tenth held out, and the mask of each by filename.

    Raises:
        LayoutError: The folder is no collection, or has no ``train``.
        DataError: The masks cannot be read or fit no image, or there are too few patients.
    """
    collection = read_collection(data_dir)
    if collection.layout != "class_folders":
        require_splits(collection, ["train"])
    records = [record for record in collection.records if record.split in ("train", None)]
    mask_of = read_masks(masks, records, image_size)
    masked = [record for record in records if record.filename in mask_of]
    divided = grouped_split(masked, fraction=HELD_OUT, seed=seed, identical=identical_files(masked))
    train, held_out = (
        [record for record in divided if record.split == split] for split in ("train", "validation")
    )
    return train, held_out, mask_of


def _fit(
    model: LungSegmenter,
    pairs: VariedPairs,
    validation: tuple[np.ndarray, np.ndarray],
    epochs: int,
    learning_rate: float,
    verbose: Any,
) -> dict[str, list[float]]:
    """Train, leave the weights of the best epoch in the model, return the history."""
    steps = epochs * len(pairs)
    warmup = steps // 20
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 20,
        decay_steps=steps - warmup,
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule),
        loss=_loss,
        metrics=[dice],
        jit_compile=jit_compile(),
    )
    with TemporaryDirectory() as temporary:
        best = Path(temporary) / "best.weights.h5"
        keep_best = keras.callbacks.ModelCheckpoint(
            best, monitor="val_dice", mode="max", save_best_only=True, save_weights_only=True
        )
        history = model.fit(
            pairs,
            validation_data=validation,
            epochs=epochs,
            callbacks=[keep_best, keras.callbacks.TerminateOnNaN()],
            verbose=verbose,
        ).history
        if not np.isfinite(history["loss"]).all():
            raise TrainingError(
                f"The loss must be a number. It is not in epoch {len(history['loss'])}. Choose a "
                f"lower `learning_rate` than {learning_rate}."
            )
        model.load_weights(best)
    return {name: [round(float(value), 5) for value in values] for name, values in history.items()}


def _loss(y_true: Any, y_pred: Any) -> Any:
    pixels = ops.mean(keras.losses.binary_crossentropy(y_true, y_pred), axis=(1, 2))
    return pixels + keras.losses.dice(y_true, y_pred, axis=(1, 2, 3))


def dice(y_true: Any, y_pred: Any) -> Any:
    """Dice of each image, its mask cut at 0.5: ``(batch,)``; twice the overlap over the sum."""
    called = ops.cast(y_pred >= 0.5, "float32")
    overlap = ops.sum(y_true * called, axis=(1, 2, 3))
    both = ops.sum(y_true, axis=(1, 2, 3)) + ops.sum(called, axis=(1, 2, 3))
    return 2 * overlap / (both + keras.config.epsilon())


def _counted(records: Sequence[Record]) -> dict[str, int]:
    patients = {record.patient_id for record in records}
    return {"images": len(records), "patients": len(patients)}
