from pathlib import Path

import tensorflow_datasets as tfds

from . import chest_xray_pneumonia_dataset_builder

DUMMY_DATA = Path(__file__).parent / "dummy_data"


class _ChestXray:
    DATASET_CLASS = chest_xray_pneumonia_dataset_builder.Builder
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False  # the collection is a local folder, read by pathlib


class KaggleGroupedTest(_ChestXray, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ("kaggle_grouped",)
    EXAMPLE_DIR = DUMMY_DATA / "kaggle"
    SPLITS = {"train": 36, "validation": 4, "test": 5}  # noqa: RUF012, the form that TFDS reads


class KaggleTest(_ChestXray, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ("kaggle",)
    EXAMPLE_DIR = DUMMY_DATA / "kaggle"
    SPLITS = {"train": 34, "validation": 6, "test": 5}  # noqa: RUF012


class LabeledV3Test(_ChestXray, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ("labeled_v3",)
    EXAMPLE_DIR = DUMMY_DATA / "labeled_v3"
    SPLITS = {"train": 36, "validation": 4, "test": 5}  # noqa: RUF012


class ClassFoldersTest(_ChestXray, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ("class_folders",)
    EXAMPLE_DIR = DUMMY_DATA / "class_folders"
    SPLITS = {"train": 32, "validation": 4, "test": 4}  # noqa: RUF012


def test_tfds_finds_the_one_builder_of_the_module():
    module = chest_xray_pneumonia_dataset_builder
    assert tfds.core.community.builder_cls_from_module(module.__name__) is module.Builder


def test_every_config_has_its_test():
    tested = [
        name for case in _ChestXray.__subclasses__() for name in case.BUILDER_CONFIG_NAMES_TO_TEST
    ]
    configs = chest_xray_pneumonia_dataset_builder.Builder.BUILDER_CONFIGS
    assert sorted(tested) == sorted(config.name for config in configs)


def test_folder_and_package_cite_the_same_paper(tmp_path):
    builder = chest_xray_pneumonia_dataset_builder.Builder(data_dir=tmp_path)
    assert builder.get_metadata().citation.strip() == builder.info.citation
