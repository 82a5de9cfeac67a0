import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "keras_pneumo").rglob("*")
        if path.suffix in {".py", ".jinja"}
        or path.name in {"py.typed", "lungs.json", "lungs.weights.h5"}
    }
    info = {name for name in names if ".dist-info/" in name}
    assert names - info == modules
    assert {name.split("/", 1)[1] for name in info} >= {"METADATA", "entry_points.txt"}


def test_the_installed_wheel_runs_from_another_folder(wheel, tmp_path):
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target"]
    subprocess.run([*install, str(target), str(wheel)], check=True, capture_output=True)
    script = "import keras_pneumo, keras_pneumo.cli; print(keras_pneumo.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(target)
    command = subprocess.run(
        [str(target / "bin" / "keras-pneumo"), "--version"],
        env={**os.environ, "PYTHONPATH": str(target)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "keras-pneumo" in command.stdout
