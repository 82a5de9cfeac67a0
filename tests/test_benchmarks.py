import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import growth, harness, two_phase
from benchmarks._collections import link_part, read_records
from benchmarks.input import LOADERS, compare, read_images, write_full_size
from keras_pneumo.data.layout import read_collection
from keras_pneumo.errors import SettingsError

ROOT = Path(__file__).parents[1]
SECONDS = {
    "old": [
        {"s": 3.0, "peak_mib": 100.0},
        {"s": 4.0, "peak_mib": 300.0},
        {"s": 9.0, "peak_mib": 200.0},
    ],
    "new": [{"s": 1.0}, {"s": 2.0}, {"s": 1.0}],
}
SPLITS = ("validation", "test")
KEYS = {
    *("benchmark", "command", "date", "speedup", "speedup_min", "speedup_max", "of", "over"),
    *("unit", "better", "repetitions", "variants", "cpu", "cores", "cpu_flags", "memory_gib"),
    *("load", "system", "python", "keras", "tensorflow", "numpy", "keras_pneumo"),
}


def summarize(measured, **changes):
    settings = {"figure": "s", "unit": "s", "better": "lower", "of": "new", "over": "old"}
    command = "python -m benchmarks.demo"
    return harness.summarize("demo", measured, command=command, **{**settings, **changes})


def is_plain(value):
    return isinstance(value, str | int | float)


def test_variants_take_turns():
    calls = []
    variants = {name: lambda name=name: calls.append(name) or {"s": len(calls)} for name in "ab"}
    measured = harness.in_turns(variants, 3)
    assert "".join(calls) == "ababab"
    assert measured == {"a": [{"s": 1}, {"s": 3}, {"s": 5}], "b": [{"s": 2}, {"s": 4}, {"s": 6}]}


def test_the_headline_compares_neighbours():
    record = summarize(SECONDS)
    # 3 / 1, 4 / 2, 9 / 1; the ratio of the medians would be 4.
    assert (record["speedup"], record["speedup_min"], record["speedup_max"]) == (3, 2, 9)
    rates = {name: [{"s": 1 / one["s"]} for one in values] for name, values in SECONDS.items()}
    assert summarize(rates, better="higher")["speedup"] == pytest.approx(3)
    assert summarize(SECONDS, of="old", over="new")["speedup"] == pytest.approx(1 / 3)


def test_a_record_is_flat_and_its_variants_are():
    record = summarize(SECONDS, images=500)
    assert set(record) == KEYS | {"images"}
    assert all(is_plain(value) for key, value in record.items() if key != "variants")
    old, new = record["variants"]
    assert old == {
        **{"name": "old", "median": 4, "min": 3, "max": 9, "speedup": 1},
        "peak_mib": 200,
    }
    assert new == {"name": "new", "median": 1, "min": 1, "max": 2, "speedup": 3}


def test_a_record_becomes_a_table_and_a_file(tmp_path, capsys):
    record = summarize(SECONDS)
    harness.publish(record, tmp_path / "new" / "demo.json")
    assert json.loads((tmp_path / "new" / "demo.json").read_text()) == record
    with Image.open(tmp_path / "new" / "demo.png") as picture:
        assert picture.width > picture.height > 200
    printed = capsys.readouterr().out
    assert "**3.00** [2.00, 9.00] times, new against old" in printed
    table = [line for line in printed.splitlines() if line.startswith("|")]
    assert table[0] == "| variant | s, median [range] | times | peak mib |"
    assert table[2:] == ["| old | 4 [3, 9] | 1.00 | 200 |", "| new | 1 [1, 2] | 3.00 |  |"]
    assert {line.count("|") for line in table} == {5}


def test_what_was_measured_once_has_no_range():
    once = {name: values[:1] for name, values in SECONDS.items()}
    printed = harness.markdown(summarize(once))
    assert "**3.00** times, new against old" in printed
    assert "| variant | s | times | peak mib |" in printed
    assert "| new | 1 | 3.00 |  |" in printed
    assert "Measured once" in printed


def test_a_record_names_no_host_and_no_folder():
    text = json.dumps(summarize(SECONDS))
    names = {platform.node(), str(Path.home()), str(ROOT), sys.prefix, os.environ.get("USER")}
    assert not [name for name in names if name and name in text]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is not read from /proc")
def test_peak_memory_is_that_of_the_process_alone(tmp_path, monkeypatch):
    (tmp_path / "hoarder.py").write_text("def hold(mib): return {'held': len(b'.' * (mib << 20))}")
    monkeypatch.syspath_prepend(tmp_path)
    from hoarder import hold

    ours = b"." * (200 << 20)
    little, much = (harness.in_own_process(hold, mib) for mib in (1, 150))
    assert much["held"] == 150 << 20
    assert much["peak_mib"] - little["peak_mib"] == pytest.approx(150, rel=0.15)
    # Nothing of what this process holds.
    assert little["peak_mib"] < harness.peak_mib() - (len(ours) >> 20)


def test_an_error_in_the_other_process_is_raised_here():
    with pytest.raises(ValueError, match="invalid literal for int"):
        harness.in_own_process(int, "no number")


@pytest.fixture(scope="module")
def full_size_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input") / "files"
    return write_full_size(read_images(None, 20), folder)


@pytest.mark.parametrize("name", LOADERS)
def test_every_loader_gives_each_file_once(full_size_files, name):
    batches = [np.asarray(images) for images, _ in LOADERS[name](full_size_files)()]
    images = np.concatenate(batches)
    assert images.shape == (20, 224, 224, 3)
    assert len({one.tobytes() for one in images}) == 20


def test_input_is_compared():
    record = compare(None, 20, 1)
    assert set(record) == KEYS | {"data", "images", "kib_per_file"}
    assert [one["name"] for one in record["variants"]] == list(LOADERS)
    rates = {one["name"]: one["median"] for one in record["variants"]}
    assert record["speedup"] == pytest.approx(rates[record["of"]] / rates[record["over"]])
    assert 100 < record["kib_per_file"] < 300


def test_a_part_of_a_collection_is_spread_over_it(phantoms, tmp_path):
    records = read_records(phantoms, 45, tmp_path)
    names = [record.filename for record in records]
    part = read_collection(link_part(records, 45, tmp_path / "part"))
    positions = [names.index(record.filename) for record in part.records]
    assert (part.layout, len(names), len(positions)) == ("kaggle", 60 + 30, 45)
    assert (positions[0], positions[-1]) == (0, 89)
    assert set(np.diff(positions)) == {2, 3}
    for record in part.records:
        assert record.path.read_bytes() == (phantoms / record.filename).read_bytes()


def test_a_part_of_class_folders_has_class_folders(phantoms, tmp_path):
    records = read_records(phantoms / "train", 20, tmp_path)
    part = read_collection(link_part(records, 20, tmp_path / "part"))
    assert (part.layout, len(part.records)) == ("class_folders", 20)


def test_enough_phantoms_are_drawn(tmp_path):
    assert 23 <= len(read_records(None, 23, tmp_path)) <= 25


def test_no_image_is_taken_twice(phantoms, tmp_path):
    assert len(read_records(phantoms, 90, tmp_path)) == 90
    with pytest.raises(SettingsError, match=r"Received: 91; .* has 90\. Ask for fewer"):
        read_records(phantoms, 91, tmp_path)


@pytest.mark.parametrize("sizes", ["500", "500,500", "0,500", "few,many", ""])
def test_growth_needs_two_sizes(sizes):
    done = CliRunner().invoke(growth.main, ["--sizes", sizes])
    assert done.exit_code == 2
    assert "at least two numbers of images are needed" in done.output


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all kinds of memory are one")
def test_mapped_pages_are_no_anonymous_memory():
    def hold(array):
        array[:] = 1
        time.sleep(2.5 * growth.SECONDS_BETWEEN_LOOKS)

    def growth_of_memory(make):
        before = growth.anonymous_mib()
        figures = growth.watch(lambda: hold(make()))
        assert figures["seconds"] >= 2.5 * growth.SECONDS_BETWEEN_LOOKS
        return figures["peak_anonymous_mib"] - before

    mib = 100
    held = growth_of_memory(lambda: np.empty(mib << 20, np.uint8))
    assert held == pytest.approx(mib, rel=0.3)
    with TemporaryFile() as file:
        mapped = growth_of_memory(lambda: np.memmap(file, np.uint8, "w+", shape=mib << 20))
    assert mapped < held / 3


def test_an_error_ends_the_watch():
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        growth.watch(lambda: 1 / 0)
    assert threading.active_count() == threads


def test_slopes_are_from_size_to_size():
    times = {"small": (100, [7, 8]), "middle": (200, [9, 9]), "large": (600, [17, 29])}
    measured = {
        name: [{"training_images": images, "seconds": one} for one in seconds]
        for name, (images, seconds) in times.items()
    }
    slopes = growth.with_slopes(measured)
    key = "seconds_per_1000_more"
    assert all(key not in one for one in slopes["small"])
    assert [one[key] for one in slopes["middle"]] == [20, 10]
    assert [one[key] for one in slopes["large"]] == [20, 50]
    assert all(key not in one for of_size in measured.values() for one in of_size)


def test_both_phases_are_compared_and_nothing_is_trained_twice(real_data, tmp_path):
    options = {"weights": None, "images": 120, "epochs": 1, "headline": True, "repetitions": 1}
    small = {"data": real_data, "image_size": (32, 32), **options}
    record = two_phase.compare(tmp_path, **small)
    assert set(record) == KEYS | {"data", "weights", "images", "epochs"}
    theirs, ours = record["variants"]
    assert record["speedup"] == pytest.approx(theirs["median"] / ours["median"])
    # Random features of tiny images: nothing to learn, but both are judged on the same images.
    assert all(0 < one[f"{split}_auc"] < 1 for one in (theirs, ours) for split in SPLITS)
    assert two_phase.compare(tmp_path, **small)["variants"] == record["variants"]


@pytest.mark.parametrize(
    "name", sorted(p.stem for p in (ROOT / "benchmarks").glob("[!_]*.py") if p.stem != "harness")
)
def test_every_benchmark_is_a_command_that_writes_json(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert re.search(r"--json FILE", done.stdout)
