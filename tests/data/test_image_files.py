from keras_pneumo.data.image_files import image_files


def test_a_broken_link_is_an_image_that_cannot_be_read(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "missing.png")
    assert image_files(tmp_path) == [tmp_path / "a.png"]
