import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import harness
from benchmarks.input import LOADERS, compare, read_images, write_full_size

ROOT = Path(__file__).parents[1]
SECONDS = {
    "old": [
        {"s": 3.0, "peak_mib": 100.0},
        {"s": 4.0, "peak_mib": 300.0},
        {"s": 9.0, "peak_mib": 200.0},
    ],
    "new": [{"s": 1.0}, {"s": 2.0}, {"s": 1.0}],
}
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
    printed = capsys.readouterr().out
    assert "**3.00** [2.00, 9.00] times, new against old" in printed
    table = [line for line in printed.splitlines() if line.startswith("|")]
    assert table[0] == "| variant | s, median [range] | times | peak mib |"
    assert table[2:] == ["| old | 4 [3, 9] | 1.00 | 200 |", "| new | 1 [1, 2] | 3.00 |  |"]
    assert {line.count("|") for line in table} == {5}


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
    assert 130 < much["peak_mib"] - little["peak_mib"] < 170
    # Nothing of what this process holds.
    assert little["peak_mib"] < 100
    assert len(ours) >> 20 < harness.peak_mib()


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


@pytest.mark.parametrize(
    "name", sorted(p.stem for p in (ROOT / "benchmarks").glob("[!_]*.py") if p.stem != "harness")
)
def test_every_benchmark_is_a_command_that_writes_json(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert re.search(r"--json FILE", done.stdout)
