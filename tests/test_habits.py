import re
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from keras_pneumo import __version__
from keras_pneumo.cli import main

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [ROOT / ".github" / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "question.yml")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# A target, what it needs, and what `make help` says of it.
TARGET = re.compile(r"^([a-z-]+):(.*?)(?:## (.+))?$", re.MULTILINE)


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def targets():
    return {
        name: (needs.split(), says) for name, needs, says in TARGET.findall(text_of("Makefile"))
    }


def made(text):
    """The targets that the ``make`` of a command names."""
    lines = re.findall(r"(?:^|[\s&])make ((?:[a-z.-][\w./-]*[ \t]*)+)", text)
    return {word for line in lines for word in line.split() if not word.startswith("--")}


def commands_of(workflow):
    steps = [step for job in load(workflow)["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def test_make_help_says_what_every_target_does():
    found = targets()
    assert all(says for _, says in found.values())
    phony = re.search(r"^\.PHONY: (.+)$", text_of("Makefile"), re.MULTILINE)[1]
    assert set(phony.split()) == set(found)


def test_the_hooks_are_the_parts_of_make_check():
    (repo,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    called = set()
    for hook in repo["hooks"]:
        assert {"id", "name", "entry", "language", "pass_filenames"} <= set(hook)
        called |= made(hook["entry"])
    needs, _ = targets()["check"]
    assert called == set(needs)


def test_contributing_begins_with_the_fast_tests_and_names_targets_that_exist():
    page = text_of("CONTRIBUTING.md")
    first = re.search(r"```sh\n(.+?)```", page, re.DOTALL)[1]
    assert first.startswith("make test-fast ")
    named = set(re.findall(r"`make ([a-z-]+)`", page)) | made(first.replace("#", "\n#"))
    assert named <= set(targets())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_what_is_there(workflow):
    content = load(workflow)
    assert content["permissions"] == {"contents": "read"}
    files = {".venv/.installed", ".venv/.installed-dev"}
    tools = " ".join(PROJECT["optional-dependencies"]["dev"] + PROJECT["dependencies"])
    for command in commands_of(workflow):
        assert made(command) <= {*targets(), *files}, command
        for extras in re.findall(r'"\.\[([a-z,]+)\]"', command):
            assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
        for tool in re.findall(r"\.venv/bin/([a-z-]+)", command):
            assert tool == "pip" or tool in tools
    for job in content["jobs"].values():
        for step in job["steps"]:
            assert "run" in step or re.fullmatch(r"[\w/-]+@[\w./]+", step["uses"])


def test_the_commands_of_the_workflows_are_understood():
    called = [c for w in WORKFLOWS for c in commands_of(w) if c.startswith("keras-pneumo ")]
    assert called
    for command in called:
        group, words = main, command.split()[1:]
        while isinstance(group, click.Group):
            group, words = group.commands[words[0]], words[1:]
        # Raises what a wrong option or value would be answered with.
        group.make_context("", words)


def test_everything_is_tested_on_every_python_the_oldest_keras_and_every_backend():
    jobs = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    assert "bash .ci/run" in [step.get("run") for step in jobs["everything"]["steps"]]
    matrix = jobs["everything"]["strategy"]["matrix"]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    supported = [f"Programming Language :: Python :: {python}" for python in matrix["python"]]
    assert [one for one in PROJECT["classifiers"] if "Python :: " in one] == supported
    (oldest,) = matrix["include"]
    (keras,) = (one for one in PROJECT["dependencies"] if one.startswith("keras>="))
    assert oldest["requirements"] == keras.replace(">=", "==") + ".0"
    assert jobs["backends"]["strategy"]["matrix"]["backend"] == ["tensorflow", "jax", "torch"]


def test_only_the_release_may_publish():
    for workflow in WORKFLOWS:
        for name, job in load(workflow)["jobs"].items():
            if "id-token" in job.get("permissions", {}):
                assert (workflow.name, name) in {
                    ("release.yml", "publish"),
                    ("docs.yml", "deploy"),
                }


def test_the_version_is_in_one_place_and_the_citation_repeats_it():
    assert PROJECT["dynamic"] == ["version"]
    assignments = [
        path
        for path in (ROOT / "keras_pneumo").rglob("*.py")
        if re.search(r"^__version__ =", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert assignments == [ROOT / "keras_pneumo" / "__init__.py"]
    assert load(ROOT / "CITATION.cff")["version"] == __version__


def test_the_changelog_knows_the_version():
    changelog = text_of("CHANGELOG.md")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    announced = re.findall(r"^This will be (\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE) == ["Unreleased", *released]
    # The version is the one that is coming, or, right after a release, the last one.
    assert (announced or released)[0] == __version__


def test_the_citation_names_what_is_to_be_cited():
    # https://github.com/citation-file-format/citation-file-format, schema 1.2.0
    citation = load(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license"} <= set(citation)
    assert citation["title"] == PROJECT["name"]
    assert citation["license"] == PROJECT["license"]
    for work in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(work)
        assert "doi" in work or "url" in work


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_an_issue_form_says_what_this_is_not(form):
    content = load(form)
    assert {"name", "description", "body"} <= set(content)
    first, *fields = content["body"]
    said = " ".join(first["attributes"]["value"].split())
    assert first["type"] == "markdown"
    assert "not a medical device" in said
    assert "Attach no radiograph" in said
    assert all(field["type"] in {"input", "textarea"} and field["id"] for field in fields)
