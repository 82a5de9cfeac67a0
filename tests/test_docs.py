import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
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
            shell = ["bash", "-e", "-c", code]
            printed.append(subprocess.run(shell, check=True, stdout=-1, text=True).stdout)
    return names, "\n".join(printed)


def test_what_one_page_publishes_the_other_loads(hub, ada_at_home, finished_run):
    published, printed = run_commands("publish.md")
    assert "94,850,872  model.weights.h5" in printed
    assert f"Published: {hub.url}/ada/pneumonia/commit/" in printed
    newest, edited, first, _ = hub.commits("ada/pneumonia")
    assert (newest.message, newest.files) == ("Card of today", {"README.md"})
    assert b"Our scanner" in edited.tree["README.md"].content
    assert "README.md" in first.files
    assert hub.pull_requests("ada/pneumonia") == [1]

    loaded, printed = run_commands("load.md")
    assert "a.jpeg" in printed
    assert (ada_at_home / "pneumonia-v1" / "model.weights.h5").is_file()
    assert "model/ada/pneumonia" in printed
    assert loaded["score"] == pytest.approx(loaded["found"].probability, abs=0.1)
