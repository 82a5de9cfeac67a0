import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def ada_at_home(finished_run, phantoms, tmp_path, monkeypatch):
    """A folder with the files that the pages name; Ada is logged in."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(finished_run.directory)
    images = finished_run.report.predictions["test"].filename
    for name, image in zip(("a.jpeg", "b.jpeg"), images, strict=False):
        (tmp_path / name).symlink_to(phantoms / image)
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
            command = ["bash", "-e", "-c", code]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            printed.append(done.stdout)
    return names, "\n".join(printed)


def texts_of_the_package():
    """Every text in the code, with … for what is filled in."""
    for file in (ROOT / "keras_pneumo").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = node.values
                yield "".join(p.value if isinstance(p, ast.Constant) else "…" for p in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_what_one_page_publishes_the_other_loads(hub, ada_at_home):
    _, printed = run_commands("publish.md")
    assert "94,850,872  model.weights.h5" in printed
    assert f"Published: {hub.url}/ada/pneumonia/commit/" in printed
    edited, published, _ = hub.commits("ada/pneumonia")
    assert edited.files == {"README.md"}
    assert {"model.weights.h5", "evaluation/roc.png"} < published.files
    assert b"Our scanner" in hub.files("ada/pneumonia", "v1")["README.md"]

    loaded, printed = run_commands("load.md")
    on_the_command_line = float(re.search(r"(\S+) +\w+ +a\.jpeg", printed)[1])
    assert loaded["score"] == pytest.approx(on_the_command_line, abs=0.1)
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
