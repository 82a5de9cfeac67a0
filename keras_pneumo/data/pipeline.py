"""A folder of chest X-rays becomes batches: TFDS examples, decoded, resized, augmented."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_pneumo import image
from keras_pneumo.data.augment import augmentation as build_augmentation
from keras_pneumo.data.builder import ChestXrayConfig, ChestXrayPneumonia
from keras_pneumo.data.layout import fingerprint, read_collection
from keras_pneumo.errors import SettingsError

# TFDS has written the examples in random order already, so a part of a large collection suffices.
_SHUFFLE_BUFFER = 1024


@dataclass(frozen=True, eq=False)
class Examples:
    """What is known of each image of a split, in the order in which it is read.

    Attributes:
        label: int64 array ``(n,)``: 0 = NORMAL, 1 = PNEUMONIA.
        patient_id: str array ``(n,)``; the naive reading, safe to group by.
        filename: str array ``(n,)``; relative to the collection's root.
    """

    label: np.ndarray
    patient_id: np.ndarray
    filename: np.ndarray

    def __len__(self) -> int:
        """Number of images."""
        return len(self.label)


class Splits:
    """The splits of a collection as ``tf.data`` pipelines; made by ``load_splits``.

    Each pipeline gives ``(images, labels)`` batches: images ``(n, height, width, 3)`` in
    [0, 255], RGB; labels int64 ``(n,)``, 0 = NORMAL, 1 = PNEUMONIA.

    Attributes:
        config: Name of the builder's config, such as ``"kaggle_grouped"``.
        image_size: ``(height, width)``.
        left_out: How many files were left out when the data was prepared, by reason.
    """

    def __init__(
        self,
        builder: tfds.core.DatasetBuilder,
        *,
        image_size: tuple[int, int],
        resize: image.Resize,
        batch_size: int,
        augmentation: str,
        seed: int,
    ) -> None:
        self._builder = builder
        self._resize = resize
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._seed = seed
        self._examples: dict[str, Examples] = {}
        self.config: str = builder.builder_config.name
        self.image_size = image_size
        self.left_out: dict[str, int] = dict(builder.info.metadata["left_out"])

    @property
    def names(self) -> tuple[str, ...]:
        """The splits there are, training first."""
        return tuple(s for s in ("train", "validation", "test") if s in self._builder.info.splits)

    # Kept, since a new dataset would begin again with the order of the first epoch.
    @cached_property
    def train(self) -> tf.data.Dataset:
        """Training batches: float32, shuffled and augmented anew whenever they are gone through."""
        return self._training_batches(self._seed, reshuffle=True)

    @property
    def validation(self) -> tf.data.Dataset:
        """Validation batches: uint8, in fixed order, never augmented."""
        return self.batches("validation")

    @property
    def test(self) -> tf.data.Dataset:
        """Test batches: uint8, in fixed order, never augmented."""
        return self.batches("test")

    def train_epoch(self, epoch: int) -> tf.data.Dataset:
        """Training batches of one epoch, whose order and augmentation depend on its number alone.

        So a training that was interrupted goes on with the batches it would have seen.

        Args:
            epoch: Number of the epoch, from 0.
        """
        return self._training_batches(_seed_of(self._seed, epoch), reshuffle=False)

    def epoch_order(self, epoch: int) -> np.ndarray:
        """The order in which ``train_epoch`` goes through the training images.

        Args:
            epoch: Number of the epoch, from 0.

        Returns:
            int64 array ``(n,)``: positions in ``examples("train")``.
        """
        positions = tf.data.Dataset.range(len(self.examples("train"))).shuffle(
            _SHUFFLE_BUFFER, seed=_seed_of(self._seed, epoch), reshuffle_each_iteration=False
        )
        return np.fromiter(positions.as_numpy_iterator(), "int64")

    def view(self, number: int) -> tf.data.Dataset:
        """Training batches in the order of ``examples("train")``, augmented once.

        Args:
            number: Number of the view, from 0, on which alone the augmentation depends.
        """
        # The 1 keeps it apart from the epochs.
        vary = build_augmentation(self._augmentation, _seed_of(self._seed, number, 1))
        return self.batches("train").map(lambda x, y: (vary(x), y)).prefetch(tf.data.AUTOTUNE)

    def batches(self, split: str) -> tf.data.Dataset:
        """Batches of a split for evaluation: uint8, in the order of ``examples``.

        Args:
            split: One of ``names``, or ``"all"``.

        Raises:
            SettingsError: There is no such split.
        """
        return self._images(split).batch(self._batch_size).prefetch(tf.data.AUTOTUNE)

    def examples(self, split: str) -> Examples:
        """Labels, patients and file names of a split; no image is decoded.

        Args:
            split: One of ``names``, or ``"all"``.

        Raises:
            SettingsError: There is no such split.
        """
        if split not in self._examples:
            fields = ("label", "patient_id", "filename")
            rows = self._read(split).map(lambda example: tuple(example[f] for f in fields))
            label, patients, filenames = zip(*rows.as_numpy_iterator(), strict=True)
            self._examples[split] = Examples(
                label=np.array(label, "int64"),
                patient_id=np.array([value.decode() for value in patients]),
                filename=np.array([value.decode() for value in filenames]),
            )
        return self._examples[split]

    @property
    def class_weight(self) -> dict[int, float]:
        """Weights that give both classes of the training split the same say, for ``fit``.

        n / (2 n_c), as scikit-learn's ``class_weight="balanced"``.
        """
        counts = np.bincount(self.examples("train").label, minlength=2)
        return {label: float(counts.sum() / (2 * n)) for label, n in enumerate(counts)}

    def _training_batches(self, seed: int, *, reshuffle: bool) -> tf.data.Dataset:
        vary = build_augmentation(self._augmentation, seed)
        images = self._images("train", shuffle_seed=seed, reshuffle=reshuffle)
        # One call after the other: parallel ones would draw their random numbers in any order.
        batches = images.batch(self._batch_size).map(lambda x, y: (vary(x), y))
        return batches.prefetch(tf.data.AUTOTUNE)

    def _images(
        self, split: str, *, shuffle_seed: int | None = None, reshuffle: bool = False
    ) -> tf.data.Dataset:
        examples = self._read(split)
        if shuffle_seed is not None:
            examples = examples.shuffle(
                _SHUFFLE_BUFFER, seed=shuffle_seed, reshuffle_each_iteration=reshuffle
            )
        return examples.map(
            lambda example: (
                image.decode(example["image"], self.image_size, self._resize),
                example["label"],
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def _read(self, split: str) -> tf.data.Dataset:
        known = (*self.names, "all")
        if split not in known:
            raise SettingsError(
                f"`split` must be one of {', '.join(known)} here. Received: {split!r}."
            )
        return self._builder.as_dataset(
            split=split,
            shuffle_files=False,
            # The files' own bytes, so that images are decoded here as everywhere else.
            decoders={"image": tfds.decode.SkipDecoding()},
            # By itself TFDS would keep up to 250 MB of them in memory, anew for each such dataset.
            read_config=tfds.ReadConfig(try_autocache=False),
        )


def load_splits(
    data_dir: str | Path,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 32,
    *,
    config: str | None = None,
    split_seed: int = 0,
    resize: str = "stretch",
    augmentation: str = "standard",
    seed: int = 0,
    prepared_dir: str | Path | None = None,
) -> Splits:
    """Make ready ``tf.data`` pipelines from a folder of chest X-rays.

    The folder is prepared once by TFDS and kept under a fingerprint of its files, so that a
    changed folder is prepared anew.

    Args:
        data_dir: A folder that ``keras_pneumo.data.layout.read_collection`` understands.
        image_size: ``(height, width)`` in pixels.
        batch_size: Images in a batch.
        config: Config of the builder; by default the one that splits by patient and fits the
            folder's layout: ``kaggle_grouped``, ``labeled_v3`` or ``class_folders``.
        split_seed: Seed of the split by patient.
        resize: ``"stretch"`` to the square, as the collection is commonly used, or ``"pad"``.
        augmentation: ``"none"``, ``"standard"``, ``"framing"`` or ``"keras_cv"``; of the training
            split only.
        seed: Seed of order and augmentation.
        prepared_dir: Where TFDS keeps the prepared data; by default its own folder
            (``TFDS_DATA_DIR`` or ``~/tensorflow_datasets``).

    Returns:
        The splits.

    Raises:
        LayoutError: The folder is no collection, or not one that the config reads.
        SettingsError: An argument is out of range.

    Examples:
        >>> import tempfile
        >>> from keras_pneumo.data.phantom import write_phantom_collection
        >>> folder = write_phantom_collection(f"{tempfile.mkdtemp()}/phantoms", n_images=60)
        >>> splits = load_splits(folder, (64, 64), 8, prepared_dir=tempfile.mkdtemp())
        >>> images, labels = next(iter(splits.train))
        >>> images.shape, labels.shape
        (TensorShape([8, 64, 64, 3]), TensorShape([8]))
    """
    # All that can be wrong is found before the data is prepared, which takes long.
    image_size, checked_resize = image.check_size(image_size), image.check_resize(resize)
    if batch_size < 1:
        raise SettingsError(f"`batch_size` must be at least 1. Received: {batch_size!r}.")
    build_augmentation(augmentation, seed)
    collection = read_collection(data_dir)
    default = "kaggle_grouped" if collection.layout == "kaggle" else collection.layout
    root = Path(prepared_dir) if prepared_dir else Path(tfds.core.constants.DATA_DIR).expanduser()
    builder = ChestXrayPneumonia(
        config=_config(config or default, split_seed),
        data_dir=root / "keras_pneumo" / fingerprint(collection),
    )
    # TFDS prints what it does, and standard output is for results.
    with redirect_stdout(sys.stderr):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=collection.root)
        )
    return Splits(
        builder,
        image_size=image_size,
        resize=checked_resize,
        batch_size=batch_size,
        augmentation=augmentation,
        seed=seed,
    )


def _seed_of(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0]) // 2


def _config(name: str, seed: int) -> ChestXrayConfig:
    configs = {config.name: config for config in ChestXrayPneumonia.BUILDER_CONFIGS}
    if name not in configs:
        raise SettingsError(f"`config` must be one of {', '.join(configs)}. Received: {name!r}.")
    config = configs[name]
    if seed == config.seed or not config.by_patient:
        return config
    return ChestXrayConfig(
        name=f"{name}_seed{seed}",
        description=config.description,
        layout=config.layout,
        seed=seed,
    )
