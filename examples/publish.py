"""Publish a run on the Hugging Face Hub: `python examples/publish.py RUN OWNER/NAME TAG`."""

import sys

from huggingface_hub import HfApi

from keras_pneumo import EvaluationReport, PneumoniaResNet50


def main(run: str, repo_id: str, tag: str) -> None:
    model = PneumoniaResNet50.from_pretrained(run)
    report = EvaluationReport.load(f"{run}/evaluation")

    # Private at first: read the card on the page of the model, then make it public there.
    commit = model.push_to_hub(repo_id, report=report, private=True)
    # A name for exactly these weights: others load them with `revision=tag`.
    HfApi().create_tag(repo_id, tag=tag, revision=commit.oid)
    print(commit.commit_url)


if __name__ == "__main__":
    main(*sys.argv[1:4])
