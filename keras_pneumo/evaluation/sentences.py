"""What a report says in sentences: its results, what stands out, and how it was made.

Each function takes what ``EvaluationReport.metrics`` returns, unless it says otherwise.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from keras_pneumo.evaluation.wording import (
    HEADLINE,
    METRICS,
    interval,
    number,
    percent,
    plural,
)

REFERENCES = (
    "E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Comparing the areas under two or more "
    "correlated receiver operating characteristic curves, Biometrics 44 (1988) 837-845.",
    "B. Efron, Better bootstrap confidence intervals, Journal of the American Statistical "
    "Association 82 (1987) 171-185.",
    "C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On calibration of modern neural networks, "
    "ICML 2017.",
    "A. J. Vickers, E. B. Elkin, Decision curve analysis: a novel method for evaluating prediction "
    "models, Medical Decision Making 26 (2006) 565-574.",
    "E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal "
    "of the American Statistical Association 22 (1927) 209-212.",
)


def results(numbers: Mapping[str, Any]) -> list[str]:
    """Say in one sentence per split how many images are called right and wrong."""
    return [_result(name, split["counts"]) for name, split in numbers["splits"].items()]


def differences(numbers: Mapping[str, Any]) -> list[str]:
    """Say on which splits the headline metrics differ from those where the threshold was chosen.

    They do where the two intervals do not overlap. There is one sentence per split that differs.
    """
    splits, chosen_on = numbers["splits"], numbers["threshold"]["chosen_on"]
    sentences = []
    for other in splits:
        if chosen_on not in splits or not (differing := _apart(splits[chosen_on], splits[other])):
            continue
        names = " and ".join(_inside(METRICS[name].title) for name in differing)
        sentences.append(
            f"The splits {chosen_on} and {other} differ in {names}: the intervals do not overlap. "
            f"What {chosen_on} shows does not carry over to {other}."
        )
    return sentences


def shared_patients(numbers: Mapping[str, Any]) -> list[str]:
    """Say which splits share patients, as far as the patient ids tell: a sentence per pair."""
    return [
        f"The splits {' and '.join(pair['splits'])} share "
        f"{plural(pair['patients'], 'patient id')}: if those are the same people, the two are not "
        "independent."
        for pair in numbers["shared_patients"]
    ]


def calibration(numbers: Mapping[str, Any]) -> str:
    """Say what temperature the scores come with, and where it was fitted, if that is known."""
    temperature = numbers["temperature"]
    fitted = (numbers["recipe"] or {}).get("calibration") or {}
    where = f", fitted on {fitted['fitted_on']}" if fitted.get("fitted_on") else ""
    if temperature == 1:
        reason = f" ({fitted['reason']})" if fitted.get("reason") else ""
        return f"The scores are those of the network itself: its temperature is 1{where}{reason}."
    effect = "less" if temperature > 1 else "more"
    return (
        f"The model divides its logit by a temperature of {number(temperature, 3)}{where}, which "
        f"makes the scores {effect} extreme and leaves their order, and so the AUC, as it is."
    )


def how_intervals(numbers: Mapping[str, Any]) -> Iterator[str]:
    """Say how the intervals were made, one sentence or two at a time."""
    made = numbers["bootstrap"]
    yield (
        f"The {percent(made['level'])} intervals are bootstrap intervals: {made['resamples']:,} "
        f"times, {made['unit']}s of a split were drawn with replacement, each with all its images, "
        "and every metric was computed on each draw. Images of one patient resemble each other; "
        "intervals that drew images would be too narrow."
    )
    yield (
        "They are bias-corrected and accelerated (BCa; Efron, 1987). Where that cannot be "
        "computed, the percentiles of the draws stand in, and where all draws agree, such as where "
        "every image is called right, the score interval of Wilson (1927)."
    )
    yield (
        "Model and threshold are held fixed: the intervals say how the numbers vary with the "
        "patients of these splits, not with another training or another hospital."
    )


def outside_centre(found: Mapping[str, Any]) -> str:
    """Say how much of the heat maps lies outside the central field; "" where there is no heat.

    Args:
        found: What ``ShortcutAudit.to_dict`` returns.
    """
    outside = found["outside_centre"]
    if not outside or outside["value"] is None:
        return ""
    ends = [outside["low"], outside["high"]]
    between = "" if None in ends else f" ({' to '.join(map(percent, ends))})"
    return (
        f"Of all heat, {percent(outside['value'])}{between} lies outside the central field of the "
        f"image. Heat that is equal everywhere would have {percent(outside['area'])} there."
    )


def delong(numbers: Mapping[str, Any]) -> str:
    """Give the intervals of DeLong for the AUC, to compare with other publications."""
    found = {name: split["roc_auc_delong"] for name, split in numbers["splits"].items()}
    told = ", ".join(f"{interval(*ends)} on {name}" for name, ends in found.items() if ends)
    if not told:
        return ""
    return (
        f"Many publications give the interval of DeLong (1988) for the AUC, which takes every "
        f"image for a patient of its own. Here it is {told}."
    )


def other_intervals(numbers: Mapping[str, Any]) -> str:
    """Say which intervals were not made by BCa; "" where all were."""
    others: dict[str, list[str]] = {}
    for split, of in numbers["splits"].items():
        for name, found in of["intervals"].items():
            if found and found["method"] != "bca":
                others.setdefault(found["method"], []).append(f"{METRICS[name].title} of {split}")
    by = {"percentile": "Percentiles of the draws", "wilson": "Intervals of Wilson"}
    return " ".join(f"{by[method]}: {', '.join(names)}." for method, names in others.items())


def audit_findings(found: Mapping[str, Any]) -> Iterator[str]:
    """Say what patients splits share, what files are identical, and what was left out.

    Args:
        found: What ``Audit.to_dict`` returns.
    """
    for pair in found["patients_in_two_splits"]:
        yield (
            f"The splits {' and '.join(pair['splits'])} share "
            f"{plural(pair['patients_naive'], 'patient')} under the naive reading of the file "
            f"names, {pair['patients_per_series']:,} under that per series."
        )
    same = found["identical_files"]
    if same["groups"]:
        yield (
            f"{plural(same['images'], 'image')} are byte for byte the same as another, in "
            f"{plural(len(same['groups']), 'group')}. Groups that reach across splits: "
            f"{same['groups_across_splits']:,}; across patients: "
            f"{same['groups_across_patients']:,}; across classes: "
            f"{same['groups_across_classes']:,}."
        )
    else:
        yield "No two files are identical."
    for reason, files in found["left_out"].items():
        yield f"{plural(len(files), 'file')} left out: {reason}."
    if not found["left_out"]:
        yield "No file was left out."


def _result(name: str, counts: Mapping[str, int]) -> str:
    parts = []
    if counts["pneumonia"]:
        share = percent(counts["tp"] / counts["pneumonia"])
        parts.append(
            f"finds {counts['tp']:,} of {plural(counts['pneumonia'], 'PNEUMONIA image')} ({share})"
        )
    if counts["normal"]:
        share = percent(counts["fp"] / counts["normal"])
        parts.append(
            f"calls {counts['fp']:,} of {plural(counts['normal'], 'NORMAL image')} PNEUMONIA "
            f"({share})"
        )
    size = f"{plural(counts['images'], 'image')} of {plural(counts['patients'], 'patient')}"
    return f"On {name}, {size}, the model {' and '.join(parts)}."


def _inside(title: str) -> str:
    return title if title.isupper() else title.lower()


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    pairs = {name: (one["intervals"][name], other["intervals"][name]) for name in HEADLINE}
    return [
        name
        for name, (a, b) in pairs.items()
        if a and b and (a["low"] > b["high"] or b["low"] > a["high"])
    ]
