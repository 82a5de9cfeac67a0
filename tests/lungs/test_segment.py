from itertools import count, islice

import numpy as np
import pytest
from PIL import Image

from keras_pneumo.errors import LayoutError, SettingsError
from keras_pneumo.lungs.segment import segment_lungs


@pytest.fixture
def folder(pictures, tmp_path):
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    return tmp_path


def test_files_and_arrays_give_the_same_in_any_batches(small_segmenter, pictures, folder):
    found = list(segment_lungs(pictures, small_segmenter))
    assert len(found) == 5
    for other in (
        segment_lungs(pictures, small_segmenter, batch_size=2),
        segment_lungs(folder, small_segmenter, batch_size=3),
        segment_lungs(map(str, sorted(folder.iterdir())), small_segmenter),
    ):
        for one, again in zip(found, other, strict=True):
            # Other batches, other rounding: a pixel at 0.5 may fall to either side.
            assert (one.mask != again.mask).mean() < 0.01
            assert one.mask.shape == (32, 32)


def test_an_unreadable_file_stops_nothing(small_segmenter, folder):
    (folder / "2.png").write_bytes(b"no image")
    found = list(segment_lungs(folder, small_segmenter, batch_size=2))
    assert [one.file for one in found] == [str(folder / f"{number}.png") for number in range(5)]
    assert ["cannot be decoded" in (one.error or "") for one in found] == [
        number == 2 for number in range(5)
    ]
    assert found[2].mask is None
    assert not found[2].plausible


def test_files_without_end_are_taken_as_they_come(small_segmenter, folder):
    endless = (folder / f"{number % 5}.png" for number in count())
    found = list(islice(segment_lungs(endless, small_segmenter), 7))
    assert found[0].file == found[5].file


@pytest.mark.parametrize("shape", [(32, 32, 3), (2, 32, 32), (2, 32, 48, 3)])
def test_an_array_of_another_shape_is_refused(small_segmenter, shape):
    with pytest.raises(SettingsError, match=r"\(n, 32, 32, 3\)"):
        segment_lungs(np.zeros(shape, "uint8"), small_segmenter)


def test_a_folder_without_images_is_refused(small_segmenter, tmp_path):
    with pytest.raises(LayoutError, match="at least one image"):
        segment_lungs(tmp_path, small_segmenter)
