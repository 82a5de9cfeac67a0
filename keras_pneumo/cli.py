"""The command ``keras-pneumo``: parses, calls, prints."""

import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

from keras_pneumo import __version__
from keras_pneumo.errors import KerasPneumoError, OutputError, SettingsError
from keras_pneumo.files import is_occupied

if TYPE_CHECKING:
    from keras_pneumo.inference import FilePrediction

# Everything else is imported inside the commands: `--help` must not wait for tensorflow.

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ANY = click.Path(path_type=Path)

_MANY = 20  # lines, after which a summary helps


class _Group(click.Group):
    """A group whose commands end in one line, not in a traceback, where an input is wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KerasPneumoError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keras-pneumo")
def main() -> None:
    """Detect pneumonia on chest X-rays with Keras.

    For research and teaching. Not a medical device.
    """
    # TensorFlow's notes about its own build are not about the user's data.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Kernels that TensorFlow has, but uses by itself only on processors that have instructions
    # for neural networks; others gain from them as well.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("keras_pneumo")
    logger.setLevel(logging.INFO)
    logger.handlers = [handler]
    logger.propagate = False


def _require_free(output: Path, overwrite: bool) -> None:
    # Said before the work, not after it.
    if is_occupied(output) and not overwrite:
        raise OutputError(f"{output} has contents. Choose another --output, or add --overwrite.")


class _NumberOrName(click.ParamType):
    name = "N|STAGE|all"

    def convert(self, value: Any, _param: Any, _ctx: Any) -> int | str:
        try:
            return int(value)
        except ValueError:
            return str(value)


def _weights(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    # Absolute, so that a run can be resumed from another folder.
    if value in (None, "imagenet", "none"):
        return value
    return str(Path(str(value)).expanduser().absolute())


@main.command()
@click.argument("data_dir", type=_FOLDER)
@click.option("--output", required=True, type=_FOLDER, metavar="RUN", help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on after the last finished epoch.")
@click.option("--overwrite", is_flag=True, help="Replace the run in the folder.")
@click.option("--prepared-dir", type=_FOLDER, help="Where TFDS keeps the prepared data.")
@click.option("--model", metavar="NAME", help="Architecture: resnet50 [resnet50]")
@click.option("--weights", callback=_weights, help="imagenet, none, or a .weights.h5 [imagenet]")
@click.option("--image-size", type=int, nargs=2, metavar="H W", help="Pixels [224 224]")
@click.option("--resize", type=click.Choice(["stretch", "pad"]), help="To the size [stretch]")
@click.option("--dropout", type=float, help="Of the pooled features [0.2]")
@click.option("--config", help="Config of the TFDS builder [the one split by patient]")
@click.option("--split-seed", type=int, help="Of the split by patient [0]")
@click.option(
    "--augmentation",
    type=click.Choice(["none", "standard", "framing", "keras_cv"]),
    help="Of training images [standard]",
)
@click.option("--batch-size", type=int, help="Images in a batch [32]")
@click.option("--head-epochs", type=int, help="Most epochs of phase 1 [5]")
@click.option("--head-learning-rate", type=float, help="Of phase 1 [0.001]")
@click.option("--fine-tune-layers", type=_NumberOrName(), help="What phase 2 trains [conv5]")
@click.option("--fine-tune-epochs", type=int, help="Most epochs of phase 2 [10]")
@click.option("--fine-tune-learning-rate", type=float, help="Of phase 2 [1e-05]")
@click.option(
    "--schedule", type=click.Choice(["constant", "cosine"]), help="Rate in phase 2 [constant]"
)
@click.option("--weight-decay", type=float, help="Of kernels, in phase 2 [0.0]")
@click.option("--ema-momentum", type=float, help="Average weights in phase 2 [None]")
@click.option("--label-smoothing", type=float, help="Move labels towards 0.5 [0.0]")
@click.option(
    "--train-batch-norm", is_flag=True, default=None, help="In phase 2; for untrained stages."
)
@click.option("--cache/--no-cache", default=None, help="Compute what is frozen once [cache]")
@click.option("--views", type=int, help="Augmented views of each image that are cached [2]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Of what is computed once [auto]",
)
@click.option("--cache-dir", type=_FOLDER, help="Where it is kept [~/.cache/keras-pneumo]")
@click.option("--keep-cache", is_flag=True, help="Leave it there for another run.")
@click.option("--patience", type=int, help="Epochs without a better AUC that end a phase [3]")
@click.option(
    "--threshold",
    metavar="POLICY",
    help="youden, sensitivity=0.95, specificity=0.9, f_beta=2, cost_ratio=5, "
    "cost_ratio=5@prevalence=0.1, fixed=0.5 [youden]",
)
@click.option(
    "--evaluate-on",
    multiple=True,
    metavar="SPLIT",
    help="Split of the report; repeatable [validation, test]",
)
@click.option("--seed", type=int, help="Of weights, dropout, order, augmentation [0]")
def train(
    data_dir: Path,
    output: Path,
    resume: bool,
    overwrite: bool,
    prepared_dir: Path | None,
    cache_dir: Path | None,
    keep_cache: bool,
    **options: Any,
) -> None:
    """Train on DATA_DIR in two phases; choose the threshold, evaluate, save.

    DATA_DIR is the Kaggle folder (train, val, test), the v3 release, or a folder with NORMAL and
    PNEUMONIA. RUN then holds model/, evaluation/report.html and training_curves.png. Defaults
    are in brackets; a run that is resumed has its own settings.
    """
    from keras_pneumo.training.settings import TrainSettings
    from keras_pneumo.training.train import train

    given = {name: value for name, value in options.items() if value not in (None, ())}
    if given.get("weights") == "none":
        given["weights"] = None
    settings = TrainSettings(**given) if given or not resume else None
    run = train(
        data_dir,
        output,
        settings,
        resume=resume,
        overwrite=overwrite,
        prepared_dir=prepared_dir,
        cache_dir=cache_dir,
        keep_cache=keep_cache,
    )
    click.echo(f"\n{run.report}\n")
    click.echo(f"Model:  {run.directory / 'model'}")
    click.echo(f"Report: {run.directory / 'evaluation' / 'report.html'}")


@main.command()
@click.argument("model")
@click.argument("data_dir", type=_FOLDER)
@click.option(
    "--split",
    multiple=True,
    default=["test"],
    show_default=True,
    help="train, validation, test or all; repeatable.",
)
@click.option(
    "--output",
    type=_FOLDER,
    default="evaluation",
    show_default=True,
    help="Folder for metrics.json, predictions.csv, pictures and report.html.",
)
@click.option("--overwrite", is_flag=True, help="Replace the report in the folder.")
@click.option(
    "--prevalence", type=float, help="Share of PNEUMONIA at which to say what a call is worth."
)
@click.option("--config", help="Config of the TFDS builder [the one of the training]")
@click.option("--prepared-dir", type=_FOLDER, help="Where TFDS keeps the prepared data.")
def evaluate(
    model: str,
    data_dir: Path,
    split: tuple[str, ...],
    output: Path,
    overwrite: bool,
    prevalence: float | None,
    config: str | None,
    prepared_dir: Path | None,
) -> None:
    """Evaluate MODEL on DATA_DIR, at the threshold stored with the model.

    MODEL is the folder of a run, a folder of a saved model, a .keras file, or owner/name on the
    Hugging Face Hub.
    """
    from keras_pneumo.data.audit import audit
    from keras_pneumo.inference import open_model, splits_for
    from keras_pneumo.reporting import evaluate

    _require_free(output, overwrite)
    loaded = open_model(model)
    splits = splits_for(loaded, data_dir, config=config, prepared_dir=prepared_dir)
    report = evaluate(
        loaded,
        splits,
        split,
        name=f"{type(loaded).__name__} of {Path(model).resolve().name}",
        data=f"{data_dir.resolve().name} ({splits.config})",
        prevalence=prevalence,
        data_audit=audit(data_dir, progress=True),
    )
    report.save(output, overwrite=overwrite)
    click.echo(f"\n{report}\n")
    click.echo(f"Report: {output / 'report.html'}")


@main.command()
@click.argument("model")
@click.argument("data_dir", type=_FOLDER)
@click.option("--split", default="validation", show_default=True, help="train, validation or test.")
@click.option("--images", type=int, help="At most so many, whole patients [all]")
@click.option(
    "--report", type=_FOLDER, help="Report to add the result to [that of the run, if MODEL is one]"
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of choice and resamples.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--config", help="Config of the TFDS builder [the one of the training]")
@click.option("--prepared-dir", type=_FOLDER, help="Where TFDS keeps the prepared data.")
def shortcuts(
    model: str,
    data_dir: Path,
    split: str,
    images: int | None,
    report: Path | None,
    seed: int,
    as_json: bool,
    config: str | None,
    prepared_dir: Path | None,
) -> None:
    """Measure what MODEL leans on, on a split of DATA_DIR.

    Predicts the split again with its border black, its centre black, its contrast changed and so
    on, and says how much worse each makes the model.
    """
    from keras_pneumo.evaluation.report import EvaluationReport
    from keras_pneumo.inference import open_model, splits_for
    from keras_pneumo.inspection.shortcuts import measure_shortcuts

    report = report or _report_of_run(Path(model))
    # Opened before the long work, so that a wrong folder is said at once.
    opened = EvaluationReport.load(report) if report else None
    loaded = open_model(model)
    splits = splits_for(loaded, data_dir, config=config, prepared_dir=prepared_dir)
    found = measure_shortcuts(loaded, splits, split, images=images, seed=seed)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else f"\n{found.to_text()}")
    if report and opened:
        replace(opened, shortcuts=found.to_dict()).save(report, overwrite=True)
        click.echo(f"\nAdded to {report / 'report.html'}", err=as_json)


def _report_of_run(run: Path) -> Path | None:
    evaluation = run / "evaluation"
    return evaluation if (evaluation / "metrics.json").exists() else None


@main.command()
@click.argument("model")
@click.argument("images", metavar="IMAGE...", type=_ANY, nargs=-1, required=True)
@click.option("--output", required=True, type=_FOLDER, help="Folder for a picture of each image.")
@click.option("--overwrite", is_flag=True, help="Replace the pictures in the folder.")
def explain(model: str, images: tuple[Path, ...], output: Path, overwrite: bool) -> None:
    """Draw where in image files MODEL sees PNEUMONIA (Grad-CAM).

    An unreadable file is reported on its line, the others are drawn, and the exit code is 1.
    """
    from keras_pneumo.inference import open_model
    from keras_pneumo.inspection.explain_files import explain_files

    _require_free(output, overwrite)
    loaded = open_model(model)
    found = explain_files(loaded, images, output, overwrite=overwrite)
    counts = _print_predictions(found, loaded.threshold)
    click.echo(f"\nPictures: {output}")
    _exit_1_on_errors(counts)


@main.command("compare-predictions")
@click.argument("a", type=_FILE)
@click.argument("b", type=_FILE)
@click.option("--split", default="test", show_default=True, help="Split to compare on.")
@click.option(
    "--threshold",
    type=float,
    nargs=2,
    metavar="A B",
    help="Thresholds of both [those of the reports that the files are in]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the resamples.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare_predictions(
    a: Path,
    b: Path,
    split: str,
    threshold: tuple[float, float] | None,
    seed: int,
    as_json: bool,
) -> None:
    """Compare two models on the same images: A and B are predictions.csv of their reports."""
    from keras_pneumo.evaluation.comparison import compare_files

    found = compare_files(a, b, split, threshold, seed=seed)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())


@main.command()
@click.argument("model")
@click.argument("paths", metavar="PATH...", type=_ANY, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def predict(model: str, paths: tuple[Path, ...], as_json: bool) -> None:
    """Predict the probability of PNEUMONIA for image files, or for all those below folders.

    An unreadable file is reported on its line, the others are predicted, and the exit code is 1.
    """
    from keras_pneumo.inference import open_model, predict_files

    loaded = open_model(model)
    # On a terminal the lines themselves are the progress.
    found = predict_files(loaded, paths, progress=not sys.stdout.isatty())
    counts = _print_json(found) if as_json else _print_predictions(found, loaded.threshold)
    if counts.total() > _MANY and not as_json:
        summary = ", ".join(f"{number:,} {label}" for label, number in sorted(counts.items()))
        click.echo(f"\n{counts.total():,} files: {summary}")
    _exit_1_on_errors(counts)


@main.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("repo_id")
@click.option("--dry-run", is_flag=True, help="Show the files and the card; ask no network.")
@click.option("--report", type=_FOLDER, help="Report for the card [that of the run, if RUN is one]")
@click.option("--license", help="Of the weights, an identifier of the Hub such as mit.")
@click.option("--private/--public", default=None, help="If it is made [the owner's default]")
@click.option("--revision", help="Branch to write to [main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead.")
@click.option("--message", default="Upload a model with keras-pneumo", show_default=True)
@click.option("--overwrite-card", is_flag=True, help="Replace a card that a person has edited.")
def push(
    run: Path,
    repo_id: str,
    dry_run: bool,
    report: Path | None,
    license: str | None,
    private: bool | None,
    revision: str | None,
    create_pr: bool,
    message: str,
    overwrite_card: bool,
) -> None:
    """Publish the model of RUN on the Hugging Face Hub as REPO_ID (owner/name).

    RUN is the folder of a run or of a saved model. The token is that of `hf auth login`, or of
    HF_TOKEN. Radiographs, names of files and patients stay at home.
    """
    from keras_pneumo.evaluation.report import EvaluationReport
    from keras_pneumo.pretrained.repository import CARD_FILE, Repository
    from keras_pneumo.pretrained.resolve import find_model

    report = report or _report_of_run(run)
    repository = Repository.gather(
        find_model(run),
        repo_id,
        report=EvaluationReport.load(report) if report else None,
        license=license,
    )
    if dry_run:
        sizes = repository.sizes()
        for path, size in sizes.items():
            click.echo(f"{size:>12,}  {path}")
        click.echo(f"{sum(sizes.values()):>12,}  bytes in {len(sizes)} files, in one commit")
        click.echo(f"\n{CARD_FILE}:\n\n{repository.card}")
        return
    commit = repository.push(
        private=private,
        revision=revision,
        create_pr=create_pr,
        commit_message=message,
        overwrite_card=overwrite_card,
    )
    click.echo(f"Published: {commit.pr_url or commit.commit_url}")


def _print_predictions(found: "Iterable[FilePrediction]", threshold: float) -> Counter[str]:
    """Print a line for each as it comes, and count the labels and the errors."""
    counts: Counter[str] = Counter()
    click.echo(f"{'probability':>11}  {'label':<9}  file   (threshold {threshold:.4g})")
    for one in found:
        counts[one.label or "error"] += 1
        if one.error:
            click.echo(f"{'-':>11}  {'error':<9}  {one.file}   {one.error}")
        else:
            click.echo(f"{one.probability:>11.4f}  {one.label:<9}  {one.file}")
    return counts


def _print_json(found: "Iterable[FilePrediction]") -> Counter[str]:
    """Print a list of objects, each as it comes, and count the labels and the errors."""
    counts: Counter[str] = Counter()
    for one in found:
        click.echo(",\n" if counts else "[\n", nl=False)
        click.echo(indent(json.dumps(asdict(one), indent=2), "  "), nl=False)
        counts[one.label or "error"] += 1
    click.echo("\n]")
    return counts


def _exit_1_on_errors(counts: Counter[str]) -> None:
    if counts["error"]:
        sys.exit(1)


@main.group()
def data() -> None:
    """Get a collection of images, look at it, or draw a synthetic one."""


@data.command()
@click.argument("directory", type=_FOLDER)
@click.option(
    "--source",
    type=click.Choice(["hub", "kaggle"]),
    default="hub",
    show_default=True,
    help="A mirror on the Hugging Face Hub, or Kaggle itself.",
)
def download(directory: Path, source: str) -> None:
    """Download the Kaggle collection into DIRECTORY: 5,856 images, about 1.2 GB.

    The hub needs no account. Interrupted, the same command goes on.
    """
    from keras_pneumo.data.download import N_IMAGES, download

    download(directory, source)
    click.echo(
        f"{directory}: {N_IMAGES:,} images, CC BY 4.0 (cite Kermany et al., Cell 2018, "
        f"doi:10.1016/j.cell.2018.02.010). Next: keras-pneumo data audit {directory}"
    )


@data.command()
@click.argument("data_dir", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--output", type=_FOLDER, help="Draw the audit into this folder as well.")
def audit(data_dir: Path, as_json: bool, output: Path | None) -> None:
    """Count what is in DATA_DIR: classes, patients, duplicates, leaks, bad files."""
    from keras_pneumo.data.audit import audit

    found = audit(data_dir, progress=True)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())
    if output:
        from keras_pneumo.data.audit_plots import draw_audit

        for path in draw_audit(found, output):
            click.echo(f"Drawn: {path}", err=True)


@data.command()
@click.argument("directory", type=_FOLDER)
@click.option("--train-images", type=int, default=280, show_default=True, help="Images in train.")
@click.option("--image-size", type=int, nargs=2, default=(256, 256), metavar="H W", help="Pixels.")
@click.option("--seed", type=int, default=0, show_default=True)
def phantoms(directory: Path, train_images: int, image_size: tuple[int, int], seed: int) -> None:
    """Draw synthetic radiographs into DIRECTORY, in the layout of the Kaggle folder."""
    from keras_pneumo.data.phantom import write_phantom_collection

    write_phantom_collection(directory, n_images=train_images, image_size=image_size, seed=seed)
    click.echo(f"Synthetic radiographs: {directory}")


@main.group()
def lungs() -> None:
    """Train a network that finds the lungs, or measure one."""


@lungs.command("train")
@click.argument("data_dir", type=_FOLDER)
@click.argument("masks", type=_ANY)
@click.option("--output", required=True, type=_FOLDER, help="Folder of the trained network.")
@click.option("--overwrite", is_flag=True, help="Replace the network in the folder.")
@click.option("--epochs", type=int, default=32, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights, split, order.")
def train_lungs(
    data_dir: Path, masks: Path, output: Path, overwrite: bool, epochs: int, seed: int
) -> None:
    """Train on the images of DATA_DIR that have a mask, and hold out a tenth by patient.

    MASKS is a folder of mask images named like the images, or an .npz file. Of DATA_DIR only
    train is read, or all of a folder with NORMAL and PNEUMONIA.
    """
    from keras_pneumo.lungs.agreement import Agreement
    from keras_pneumo.lungs.training import train_segmenter

    model = train_segmenter(data_dir, masks, output, epochs=epochs, seed=seed, overwrite=overwrite)
    click.echo(f"\nHeld out: {Agreement(**model.metadata['held_out'])}")
    click.echo(f"\nNetwork: {output}")


@lungs.command("evaluate")
@click.argument("data_dir", type=_FOLDER)
@click.argument("masks", type=_ANY)
@click.option("--model", type=_FOLDER, help="Folder of a network [the one that the package brings]")
@click.option("--split", default="test", show_default=True, help="train, validation or test.")
def evaluate_lungs(data_dir: Path, masks: Path, model: Path | None, split: str) -> None:
    """Measure how a network agrees with MASKS, on the images of a split of DATA_DIR that have one.

    The splits are those of the folder: of train, a tenth was held out of the training.
    """
    from keras_pneumo.data.layout import read_collection, require_splits
    from keras_pneumo.lungs.agreement import measure_agreement
    from keras_pneumo.lungs.masks import read_masks
    from keras_pneumo.lungs.segmenter import LungSegmenter

    collection = read_collection(data_dir)
    require_splits(collection, [split])
    records = [record for record in collection.records if record.split == split]
    loaded = LungSegmenter.from_preset(model)
    mask_of = read_masks(masks, records, loaded.image_size)
    masked = [record for record in records if record.filename in mask_of]
    click.echo(measure_agreement(loaded, masked, mask_of))


@main.command()
@click.option("--cache-dir", type=_FOLDER, help="The folder [~/.cache/keras-pneumo]")
@click.option("--delete", "to_delete", multiple=True, metavar="NAME|all", help="Repeatable.")
def cache(cache_dir: Path | None, to_delete: tuple[str, ...]) -> None:
    """List the features that trainings have kept or left behind, or delete them."""
    from keras_pneumo.training.feature_cache import caches, default_root

    root = cache_dir.expanduser() if cache_dir else default_root()
    found = {one.directory.name: one for one in caches(root)}
    unknown = set(to_delete) - {*found, "all"}
    if unknown:
        raise SettingsError(
            f"There is no cache {', '.join(sorted(unknown))} in {root}. There are: "
            f"{', '.join(found) or 'none'}."
        )
    for name, one in found.items():
        gone = name in to_delete or "all" in to_delete
        if gone:
            one.delete()
        click.echo(
            f"{name}  {one.size / 1e9:>6.2f} GB  {one.key['boundary']} of {one.key['config']}"
            f"{'  deleted' if gone else ''}"
        )
    if not found:
        click.echo(f"There are no features in {root}.")
