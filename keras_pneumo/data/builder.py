"""The TFDS builder of the chest X-ray collections.

Importing this module registers it, so that ``tfds.load("chest_xray_pneumonia/kaggle_grouped")``
finds it. It pulls tensorflow, which ``import keras_pneumo`` does not.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from keras_pneumo.data.integrity import unreadable
from keras_pneumo.data.layout import (
    AETIOLOGIES,
    CLASS_NAMES,
    Collection,
    Record,
    read_collection,
    require_splits,
)
from keras_pneumo.data.splits import split_by_patient
from keras_pneumo.errors import LayoutError

_DESCRIPTION = """
Frontal chest X-rays of children of one to five years, from Guangzhou Women and Children's Medical
Center, labelled NORMAL or PNEUMONIA, the latter of bacterial or viral origin. For research and
teaching; not for diagnosis.
"""

_CITATION = """
@article{kermany2018identifying,
  title = {Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep Learning},
  author = {Kermany, Daniel S. and Goldbaum, Michael and Cai, Wenjia and others},
  journal = {Cell},
  volume = {172},
  number = {5},
  pages = {1122--1131},
  year = {2018},
  doi = {10.1016/j.cell.2018.02.010},
}
"""


@dataclass(eq=False, kw_only=True)
class ChestXrayConfig(tfds.core.BuilderConfig):
    """One source, split in one way.

    Attributes:
        layout: The layout of the folder, as ``read_collection`` names it.
        by_patient: Make the validation split out of what is not test, by patient; otherwise the
            folder's own splits are kept.
        seed: Seed of the split by patient.
    """

    layout: str = "kaggle"
    by_patient: bool = True
    seed: int = 0


class ChestXrayPneumonia(tfds.core.GeneratorBasedBuilder):
    """Chest X-rays, NORMAL or PNEUMONIA, from a folder that you downloaded.

    ``kaggle``: the official train, validation (16 images) and test. ``kaggle_grouped``: train and
    validation together, split anew by patient, 10 % validation; test untouched. ``labeled_v3``: the
    v3 release, validation made by patient out of train. ``class_folders``: a plain folder with
    ``NORMAL`` and ``PNEUMONIA``, split by patient, 10 % validation and 10 % test.

    Images are stored as the bytes of their files, not encoded again. Unreadable files are left
    out and counted by reason, in a warning and in ``builder.info.metadata["left_out"]``.

    Examples:
        ```python
        import tensorflow_datasets as tfds
        import keras_pneumo.data.builder  # registers chest_xray_pneumonia

        train = tfds.load(
            "chest_xray_pneumonia/kaggle_grouped",
            split="train",
            download_and_prepare_kwargs={
                "download_config": tfds.download.DownloadConfig(manual_dir="chest_xray")
            },
        )
        ```
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}  # noqa: RUF012, the form that TFDS reads
    BUILDER_CONFIGS = [  # noqa: RUF012, likewise
        ChestXrayConfig(
            name="kaggle_grouped",
            description="Kaggle v2; train and val split anew by patient, test untouched.",
        ),
        ChestXrayConfig(
            name="kaggle", by_patient=False, description="Kaggle v2; the official splits."
        ),
        ChestXrayConfig(
            name="labeled_v3",
            layout="labeled_v3",
            description="The v3 release; validation made by patient out of train.",
        ),
        ChestXrayConfig(
            name="class_folders",
            layout="class_folders",
            description="A plain folder of class folders, split by patient.",
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download "Chest X-Ray Images (Pneumonia)" from
    https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia, unpack it, and give
    the folder that holds train/, val/ and test/ as `manual_dir`. The v3 release is at
    https://data.mendeley.com/datasets/rscbjbr9sj/3.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                    "aetiology": tfds.features.ClassLabel(names=list(AETIOLOGIES)),
                    "patient_id": tfds.features.Text(),
                    "filename": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://data.mendeley.com/datasets/rscbjbr9sj",
            citation=_CITATION,
            license="CC BY 4.0",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        collection = read_collection(Path(dl_manager.manual_dir))
        records = self._split(collection)
        unusable = {skipped.path: skipped.reason for skipped in unreadable(records, progress=True)}
        self._report_left_out(
            [*(skipped.reason for skipped in collection.skipped), *unusable.values()], collection
        )
        splits: dict[str, list[Record]] = {}
        for record in records:
            if record.split is not None and record.path not in unusable:
                splits.setdefault(record.split, []).append(record)
        return {name: self._generate_examples(found) for name, found in splits.items()}

    def _generate_examples(self, records: list[Record]) -> Iterator[tuple[str, dict[str, Any]]]:
        for record in records:
            yield (
                record.filename,
                {
                    "image": record.path,
                    "label": record.label,
                    "aetiology": record.aetiology,
                    "patient_id": record.patient_id,
                    "filename": record.filename,
                },
            )

    def _split(self, collection: Collection) -> list[Record]:
        config = self.builder_config
        if collection.layout != config.layout:
            raise LayoutError(
                f"The config {config.name!r} reads the layout {config.layout!r}. {collection.root} "
                f"has the layout {collection.layout!r}. Choose another config or another folder."
            )
        if not config.by_patient:
            require_splits(collection, ("train", "validation", "test"))
            return list(collection.records)
        if collection.layout != "class_folders":
            require_splits(collection, ("train", "test"))
        return split_by_patient(collection, seed=config.seed)

    def _report_left_out(self, reasons: list[str], collection: Collection) -> None:
        # What follows the colon differs from file to file, such as the bytes that are missing.
        counts = dict(sorted(Counter(reason.partition(":")[0] for reason in reasons).items()))
        self.info.metadata["left_out"] = counts
        if counts:
            listed = ", ".join(f"{count} × {reason}" for reason, count in counts.items())
            warnings.warn(
                f"{len(reasons)} files in {collection.root} are left out: {listed}. "
                "`keras-pneumo data audit` names them.",
                stacklevel=2,
            )
