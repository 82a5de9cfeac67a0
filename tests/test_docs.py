import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from keras_pneumo.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def ada_at_home(quickstart_run, tmp_path, monkeypatch):
    """A folder with the files that the pages name; Ada is logged in."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(quickstart_run.directory)
    # Of the model's own size, so that nothing but the pixels makes a score.
    for name, grey in (("a.jpeg", 30), ("b.jpeg", 220)):
        Image.new("L", (32, 32), grey).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_ada")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    return tmp_path


def run_commands(page):
    """Run the blocks of a page in their order; what the commands of the shell print."""
    names, printed = {"__name__": page}, []
    for language, code in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(code, page, "exec"), names)
        else:
            printed += map(run_line, code.splitlines())
    return names, "\n".join(printed)


def run_line(line):
    """Run a line of the shell; our own command in this process, which has imported TensorFlow."""
    command, *arguments = shlex.split(line)
    if command == "keras-pneumo":
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return result.output
    done = subprocess.run(["bash", "-c", line], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def files_of(listing):
    """Sizes by name, of lines such as ``94,850,872  model.weights.h5``."""
    lines = re.findall(r"^ *([\d,]+)  (\S+)$", listing, re.MULTILINE)
    return {name: int(size.replace(",", "")) for size, name in lines}


def texts_of_the_package():
    """Every text in the code, with … for what is filled in."""
    for file in (ROOT / "keras_pneumo").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = node.values
                yield "".join(p.value if isinstance(p, ast.Constant) else "…" for p in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.slow
def test_what_one_page_publishes_the_other_loads(hub, ada_at_home):
    _, printed = run_commands("publish.md")
    found, shown = files_of(printed), files_of((DOCS / "publish.md").read_text(encoding="utf-8"))
    assert set(shown) <= set(found)
    # Of which the next release of Keras may need some bytes more.
    assert shown["model.weights.h5"] == pytest.approx(found["model.weights.h5"], rel=0.01)
    assert f"Published: {hub.url}/ada/pneumonia/commit/" in printed
    edited, published, _ = hub.commits("ada/pneumonia")
    assert edited.files == {"README.md"}
    assert {"model.weights.h5", "evaluation/roc.png"} < published.files
    assert b"Our scanner" in hub.files("ada/pneumonia", "v1")["README.md"]

    loaded, printed = run_commands("load.md")
    a, b = (float(re.search(rf"(\S+) +\w+ +{name}", printed)[1]) for name in ("a.jpeg", "b.jpeg"))
    assert abs(a - b) > 0.01
    # Four digits are printed.
    assert loaded["score"] == pytest.approx(a, abs=1e-4)
    assert (loaded["found"].file, loaded["found"].probability) == (
        "b.jpeg",
        pytest.approx(b, abs=1e-4),
    )
    assert (ada_at_home / "pneumonia-v1" / "model.weights.h5").is_file()
    assert "model/ada/pneumonia" in printed

    described, _ = run_commands("saved-model.md")
    assert described["found"].threshold == loaded["about"]["threshold"]


@pytest.mark.parametrize("page", ["publish.md", "load.md"])
def test_errors_on_the_pages_are_errors_of_the_code(page):
    table = (DOCS / page).read_text(encoding="utf-8").partition("## What may go wrong")[2]
    messages = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    texts = list(texts_of_the_package())
    assert messages
    assert [one for one in messages if not any(one in text for text in texts)] == []
