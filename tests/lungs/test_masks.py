import shutil

import numpy as np
import pytest
from PIL import Image

from keras_pneumo.data.layout import read_collection
from keras_pneumo.errors import DataError
from keras_pneumo.lungs.masks import read_masks

SIZE = (32, 32)


@pytest.fixture(scope="module")
def records(chests):
    return read_collection(chests / "images").records


@pytest.fixture(scope="module")
def found(chests, records):
    return read_masks(chests / "masks", records, SIZE)


def write_archive(path, files, masks):
    np.savez_compressed(path, files=files, mask=np.packbits(masks, axis=1))
    return path


def test_a_mask_is_found_by_its_place_and_resized(found, records):
    assert set(found) == {record.filename for record in records}
    assert {(mask.shape, mask.dtype) for mask in found.values()} == {(SIZE, np.dtype(bool))}
    assert all(0.05 < mask.mean() < 0.3 for mask in found.values())


def test_a_mask_is_found_by_its_name_where_no_other_has_it(chests, records, found, tmp_path):
    for path in (chests / "masks").rglob("*.png"):
        shutil.copy(path, tmp_path / path.name)
    flat = read_masks(tmp_path, records, SIZE)
    assert all(np.array_equal(flat[name], found[name]) for name in found)
    name = "IM-0003-0001.png"
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / name, tmp_path / "other" / name)
    assert set(found) - set(read_masks(tmp_path, records, SIZE)) == {f"train/NORMAL/{name}"}


def test_packed_bits_are_the_same_masks(found, records, tmp_path):
    names = [*found, "train/NORMAL/not-here.png"]
    masks = np.stack([*found.values(), found[names[0]]]).reshape(len(names), -1)
    packed = read_masks(write_archive(tmp_path / "m.npz", names, masks), records, SIZE)
    assert set(packed) == set(found)
    assert all(np.array_equal(packed[name], found[name]) for name in found)


def test_masks_that_fit_no_image_are_refused(chests, records, tmp_path):
    shutil.copy(next((chests / "masks").rglob("*.png")), tmp_path / "somebody.png")
    with pytest.raises(DataError, match=r"named like the images.*somebody\.png"):
        read_masks(tmp_path, records, SIZE)
    with pytest.raises(DataError, match="nothing at"):
        read_masks(tmp_path / "nowhere", records, SIZE)


def test_a_mask_of_another_shape_is_refused(records, tmp_path):
    Image.new("L", (48, 96), 255).save(tmp_path / "IM-0003-0001.png")
    with pytest.raises(DataError, match=r"is 48 x 96, .* is 96 x 96"):
        read_masks(tmp_path, records, SIZE)


def test_a_mask_without_white_is_refused(records, tmp_path):
    Image.new("L", (96, 96), 1).save(tmp_path / "IM-0003-0001.png")
    with pytest.raises(DataError, match="0 and 1 as 0 and 255"):
        read_masks(tmp_path, records, SIZE)


def test_a_mask_that_is_no_image_is_refused(records, tmp_path):
    (tmp_path / "IM-0003-0001.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="must be a whole image"):
        read_masks(tmp_path, records, SIZE)


def test_a_damaged_archive_is_refused(found, records, tmp_path):
    masks = np.stack(list(found.values())).reshape(len(found), -1)
    whole = write_archive(tmp_path / "whole.npz", list(found), masks).read_bytes()
    for damaged in (whole[:-200], whole[: len(whole) // 2], b"", b"text"):
        (tmp_path / "m.npz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"must be a whole \.npz"):
            read_masks(tmp_path / "m.npz", records, SIZE)
    np.savez(tmp_path / "m.npz", files=list(found))
    with pytest.raises(DataError, match="mask is not a file in the archive"):
        read_masks(tmp_path / "m.npz", records, SIZE)


def test_an_archive_of_another_shape_is_refused(found, records, tmp_path):
    masks = np.stack(list(found.values())).reshape(len(found), -1)
    path = write_archive(tmp_path / "m.npz", list(found), masks)
    with pytest.raises(DataError, match=r"packed bits of 64 x 64 pixels.*Resize the masks"):
        read_masks(path, records, (64, 64))
    with pytest.raises(DataError, match="for each of the 27 `files`"):
        read_masks(write_archive(tmp_path / "m.npz", list(found)[1:], masks), records, SIZE)
