from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Timer

import numpy as np
import pytest

from keras_pneumo.errors import OutputError, TrainingError
from keras_pneumo.training import feature_cache
from keras_pneumo.training.batches import Batches
from keras_pneumo.training.feature_cache import FeatureCache, caches, fingerprint, require_room

KEY = {"boundary": "features", "config": "kaggle_grouped"}


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(
        tmp_path / fingerprint(KEY), {"train": 10, "validation": 4}, (2, 3), "float16", views=2
    )


def source(part, start, rows=None, batch=3):
    first = {"validation": 0, "view-0": 100, "view-1": 200}[part]
    total = rows or {"validation": 4}.get(part, 10)
    values = first + np.arange(total, dtype="float32")[:, None, None] + np.zeros((1, 2, 3))
    for position in range(start, total, batch):
        yield values[position : position + batch].astype("float32")


def test_what_is_written_is_read_back(cache):
    cache.fill(source, KEY)
    np.testing.assert_array_equal(cache.read("validation")[:, 0, 0], np.arange(4))
    np.testing.assert_array_equal(cache.read("view-1")[:, 1, 2], 200 + np.arange(10))
    assert cache.size == (4 + 2 * 10) * 6 * 2
    (found,) = caches(cache.directory.parent)
    assert found.key == KEY
    assert cache.size < found.size < cache.size + 2000


def test_what_is_there_is_not_computed_again(cache):
    cache.fill(source, KEY)
    cache.fill(lambda part, _: pytest.fail(part), KEY)


def interrupt_in_view_1(part, start):
    if part == "view-1":
        yield from list(source(part, start))[:3]
        raise KeyboardInterrupt
    yield from source(part, start)


def test_an_interrupted_cache_goes_on_where_it_was(cache, monkeypatch):
    monkeypatch.setattr(feature_cache, "_ROWS_AT_RISK", 6)
    with pytest.raises(KeyboardInterrupt):
        cache.fill(interrupt_in_view_1, KEY)
    asked = []

    def rest(part, start):
        asked.append((part, start))
        return source(part, start)

    cache.fill(rest, KEY)
    assert asked == [("view-1", 6)]
    np.testing.assert_array_equal(cache.read("view-1")[:, 1, 2], 200 + np.arange(10))
    names = {path.name for path in cache.directory.iterdir()}
    assert names == {"key.json", "lock", "validation.npy", "view-0.npy", "view-1.npy"}


def test_a_source_that_ends_early_leaves_no_part(cache):
    with pytest.raises(TrainingError, match="3 of 4"):
        cache.fill(partial(source, rows=3), KEY)
    assert not (cache.directory / "validation.npy").exists()


def test_a_full_disk_is_found_before_the_work(tmp_path):
    rows = {"train": 10**9, "validation": 1}
    huge = [FeatureCache(tmp_path / name, rows, (10**6,), "float16", 1) for name in "ab"]
    with pytest.raises(OutputError, match=r"need 4000000\.0 GB on disk.*--cache-dir.*--no-cache"):
        require_room(huge)
    assert not list(tmp_path.iterdir())


def test_what_is_on_the_disk_needs_no_more_room(cache):
    assert cache.still_needed == cache.size
    with pytest.raises(KeyboardInterrupt):
        cache.fill(interrupt_in_view_1, KEY)
    assert cache.still_needed == 0


def test_room_is_taken_before_it_is_filled(cache):
    def look(part, start):
        (partial,) = cache.directory.glob("*.partial.npy")
        assert partial.stat().st_blocks * 512 >= partial.stat().st_size
        yield from source(part, start)

    cache.fill(look, KEY)


def test_a_second_training_waits_for_what_the_first_computes(cache, caplog):
    started, go_on = Event(), Event()

    def slow(part, start):
        started.set()
        assert go_on.wait(10)
        yield from source(part, start)

    def second():
        assert started.wait(10)
        with caplog.at_level("INFO"):
            Timer(0.2, go_on.set).start()
            cache.fill(lambda part, _: pytest.fail(part), KEY)

    with ThreadPoolExecutor() as pool:
        trainings = [pool.submit(cache.fill, slow, KEY), pool.submit(second)]
    assert [training.result() for training in trainings] == [None, None]
    assert "waiting for it" in caplog.text


def test_what_is_kept_for_others_is_not_deleted_at_the_end(cache):
    cache.fill(source, KEY)
    cache.keep()
    cache.delete()
    (found,) = caches(cache.directory.parent)
    found.delete()
    assert not cache.directory.exists()


def test_numbers_that_float16_cannot_hold_are_refused(cache):
    with pytest.raises(TrainingError, match="float32"):
        cache.fill(lambda *of: (1e6 * batch for batch in source(*of)), KEY)


def test_an_epoch_goes_through_its_order_and_through_the_views(cache):
    cache.fill(source, KEY)
    views = [cache.read("view-0"), cache.read("view-1")]
    labels, order = np.arange(10) % 2, np.random.default_rng(0).permutation(10)
    seen = []
    for epoch in (0, 1):
        batches = Batches(views, labels, order, 4, epoch)
        assert len(batches) == 3
        features, found = map(np.concatenate, zip(*(batches[i] for i in range(3)), strict=True))
        np.testing.assert_array_equal(found, labels[order])
        np.testing.assert_array_equal(features[:, 0, 0] % 100, order)
        seen.append(features[:, 0, 0] // 100)
    # Each image in one view, then in the other; in each epoch some of both.
    assert set(seen[0]) == {1, 2}
    np.testing.assert_array_equal(seen[0] + seen[1], 3)


def test_validation_is_read_in_order_without_labels(cache):
    cache.fill(source, KEY)
    batches = Batches([cache.read("validation")], None, np.arange(4), 3)
    assert batches[0].dtype == np.float32
    np.testing.assert_array_equal(batches[1][:, 0, 0], [3])


def test_a_fingerprint_stands_for_every_value():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"a": 1, "b": 3})
