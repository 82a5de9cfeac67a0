"""The choice of the score from which an image is called PNEUMONIA."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_pneumo.errors import PredictionsError, SettingsError
from keras_pneumo.evaluation.predictions import labels_and_scores

POLICIES = ("youden", "sensitivity=0.95", "specificity=0.9", "f_beta=2", "fixed=0.5")


@dataclass(frozen=True)
class ThresholdPolicy:
    """A rule for choosing a threshold, read from and printed as one short text.

    - ``youden``: maximise sensitivity + specificity − 1 (Youden, 1950).
    - ``sensitivity=0.95``: the highest threshold that still reaches this sensitivity.
    - ``specificity=0.9``: the lowest threshold that reaches this specificity.
    - ``f_beta=2``: maximise F-beta (van Rijsbergen, 1979), where sensitivity weighs beta times as
      much as precision.
    - ``fixed=0.5``: this threshold, whatever the data.

    Args:
        name: "youden", "sensitivity", "specificity", "f_beta" or "fixed".
        parameter: The number behind "="; None for "youden". In (0, 1] for "sensitivity" and
            "specificity", in (0, 100] for "f_beta", in [0, 1] for "fixed".

    Raises:
        SettingsError: The name is unknown, or the number is missing or out of range.

    References:
        W. J. Youden, Index for rating diagnostic tests, Cancer 3 (1950) 32-35.
        C. J. van Rijsbergen, Information Retrieval, 2nd ed. (1979), chapter 7.

    Examples:
        >>> policy = ThresholdPolicy.parse("specificity=0.90")
        >>> policy.parameter, str(policy)
        (0.9, 'specificity=0.9')
    """

    name: str
    parameter: float | None = None

    def __post_init__(self) -> None:
        """Check the name and the number."""
        number = self.parameter
        if self.name == "youden":
            fine = number is None
        elif number is None or not math.isfinite(number):
            fine = False
        elif self.name in ("sensitivity", "specificity"):
            fine = 0 < number <= 1
        elif self.name == "f_beta":
            fine = 0 < number <= 100
        else:
            fine = self.name == "fixed" and 0 <= number <= 1
        if not fine:
            raise _policy_error(str(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy from its text.

        Args:
            text: Such as "youden" or "sensitivity=0.95".

        Returns:
            The policy.

        Raises:
            SettingsError: The text is no policy.
        """
        name, equals, number = text.partition("=")
        try:
            return cls(name.strip(), float(number) if equals else None)
        except ValueError:
            raise _policy_error(text) from None

    def __str__(self) -> str:
        """The text that ``parse`` reads."""
        if self.parameter is None:
            return self.name
        return f"{self.name}={float(self.parameter)!r}".removesuffix(".0")

    def in_words(self) -> str:
        """Say what this policy does, as the rest of a sentence on the threshold."""
        number = str(self).partition("=")[2]
        return {
            "youden": "maximises sensitivity + specificity − 1 (Youden's index)",
            "sensitivity": f"is the highest that still reaches a sensitivity of {number}",
            "specificity": f"is the lowest that reaches a specificity of {number}",
            "f_beta": f"maximises F-beta with beta = {number}",
            "fixed": "was fixed in advance, without looking at any data",
        }[self.name]


@dataclass(frozen=True)
class Threshold:
    """A threshold with its origin: a score of at least ``value`` is called PNEUMONIA.

    Args:
        value: In [0, 1].
        policy: The text of the ``ThresholdPolicy`` that chose it.
        chosen_on: The split it was chosen on; "none" for a fixed one.

    Raises:
        SettingsError: The value is not in [0, 1], or the policy is none.

    Examples:
        >>> Threshold(0.5, "fixed=0.5", "none").to_dict()
        {'value': 0.5, 'policy': 'fixed=0.5', 'chosen_on': 'none'}
    """

    value: float
    policy: str
    chosen_on: str

    def __post_init__(self) -> None:
        """Check the value and the policy."""
        ThresholdPolicy.parse(self.policy)
        if not 0 <= self.value <= 1:
            raise SettingsError(
                f"The value of a threshold must be in [0, 1], as the scores are. "
                f"Received: {self.value}. Choose one with `choose_threshold`."
            )

    def __str__(self) -> str:
        """The value and its origin in a few words."""
        origin = self.policy if self._is_fixed() else f"{self.policy}, chosen on {self.chosen_on}"
        return f"{self.rounded()} ({origin})"

    def rounded(self) -> str:
        """Return the value to three digits of its distance from 0 or 1, for people.

        Plain rounding would show the 0.99996 of an overconfident network as 1.

        Examples:
            >>> [Threshold(x, "youden", "validation").rounded() for x in (0.87654, 0.9999612)]
            ['0.877', '0.9999612']
        """
        if self.value <= 0.5 or self.value == 1:
            return f"{self.value:.3g}"
        places = 2 - math.floor(math.log10(1 - self.value))
        return f"{self.value:.{places}f}".rstrip("0")

    def to_dict(self) -> dict[str, Any]:
        """Return "value", "policy" and "chosen_on", ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Make a threshold from what ``to_dict`` returned.

        Args:
            given: A mapping with "value", "policy" and "chosen_on".

        Returns:
            The threshold.

        Raises:
            SettingsError: A key is missing or unknown, or a value is not what it has to be.
        """
        keys = {"value", "policy", "chosen_on"}
        if set(given) != keys:
            raise SettingsError(
                f"A threshold must have the keys {sorted(keys)}. Received: {sorted(given)}. "
                "Pass what `Threshold.to_dict` returned."
            )
        return cls(float(given["value"]), str(given["policy"]), str(given["chosen_on"]))

    def in_words(self) -> str:
        """Say what the threshold means and where it comes from, in plain sentences.

        Examples:
            >>> Threshold(0.5, "f_beta=2", "validation").in_words().partition(". ")[2]
            'This threshold maximises F-beta with beta = 2 on the validation split.'
        """
        origin = "" if self._is_fixed() else f" on the {self.chosen_on} split"
        return (
            f"An image is called PNEUMONIA when its score is at least {self.rounded()}. "
            f"This threshold {ThresholdPolicy.parse(self.policy).in_words()}{origin}."
        )

    def _is_fixed(self) -> bool:
        return ThresholdPolicy.parse(self.policy).name == "fixed"


def choose_threshold(
    y_true: ArrayLike,
    y_score: ArrayLike,
    policy: str | ThresholdPolicy = "youden",
    chosen_on: str = "validation",
) -> Threshold:
    """Choose a threshold by a policy. Choose on validation images, never on those of the test.

    The candidates are the midpoints between neighbouring distinct scores, 0 (every image is called
    PNEUMONIA) and 1 (none is, unless a score is 1 itself). A midpoint, unlike a score, keeps its
    distance from the images on both sides, so that the last digits of a score, which differ from
    one machine or batch size to another, do not decide about an image.

    If several candidates are equally good for "youden" or "f_beta", the one in the widest gap
    between scores is chosen, because it is the least sensitive to small changes of the scores;
    among equally wide gaps the lowest, because it misses the fewest patients.

    Args:
        y_true: Shape (n,): 0 = NORMAL, 1 = PNEUMONIA.
        y_score: Shape (n,): probability of PNEUMONIA in [0, 1].
        policy: A ``ThresholdPolicy`` or its text, such as "sensitivity=0.95".
        chosen_on: The name of the split that the images are from.

    Returns:
        The threshold. For a "fixed" policy ``chosen_on`` is "none", since no data were used.

    Raises:
        PredictionsError: The labels or scores are not what they have to be, only one class is
            there (unless the policy is "fixed"), or no threshold reaches the specificity.
        SettingsError: The policy is none.

    Examples:
        >>> choose_threshold([0, 0, 1, 1], [0.1, 0.25, 0.75, 0.9])
        Threshold(value=0.5, policy='youden', chosen_on='validation')
    """
    labels, scores = labels_and_scores(y_true, y_score)
    rule = policy if isinstance(policy, ThresholdPolicy) else ThresholdPolicy.parse(policy)
    number = float(rule.parameter or 0)  # "youden" has no number and needs none
    if rule.name == "fixed":
        return Threshold(number, str(rule), "none")
    if labels.min() == labels.max():
        only = "PNEUMONIA" if labels[0] else "NORMAL"
        raise PredictionsError(
            f"A threshold can only be chosen on images of both classes. Received: {len(labels)} "
            f"images of {chosen_on}, all {only}. Choose it on another split, or fix it in advance "
            "with the policy 'fixed=0.5'."
        )
    candidates = _candidates(labels, scores)
    if rule.name == "youden":
        best = _best_youden(candidates)
    elif rule.name == "f_beta":
        best = _best_f_beta(candidates, number)
    elif rule.name == "sensitivity":
        best = _highest_reaching_sensitivity(candidates, number)
    else:
        best = _lowest_reaching_specificity(candidates, number)
    return Threshold(float(candidates.value[best]), str(rule), chosen_on)


class _Candidates(NamedTuple):
    """All thresholds that can differ in their result, in ascending order."""

    value: NDArray[np.float64]
    gap: NDArray[np.float64]  # the distance between the scores on both sides
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    positives: int
    negatives: int


def _candidates(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> _Candidates:
    distinct, index = np.unique(scores, return_inverse=True)
    low, high = distinct[:-1], distinct[1:]
    middle = low + (high - low) / 2
    # Between two neighbouring floats there is no other: the upper one separates them as well.
    middle = np.where(middle > low, middle, high)
    value = np.concatenate([[0.0], middle, [1.0]])
    gap = np.diff(distinct, prepend=0.0, append=1.0)
    # The candidate i calls all images from the i-th distinct score upwards PNEUMONIA.
    tp, fp = (
        np.append(
            np.bincount(index[labels == label], minlength=len(distinct))[::-1].cumsum()[::-1], 0
        )
        for label in (1, 0)
    )
    # If a score is 1 itself, no threshold in [0, 1] is above it.
    kept = slice(None, -1 if distinct[-1] == 1 else None)
    return _Candidates(value[kept], gap[kept], tp[kept], fp[kept], int(tp[0]), int(fp[0]))


def _best_youden(candidates: _Candidates) -> int:
    # Sensitivity + specificity − 1, multiplied by both class counts: integers tie exactly.
    return _widest(
        candidates.tp * candidates.negatives - candidates.fp * candidates.positives, candidates
    )


def _best_f_beta(candidates: _Candidates, beta: float) -> int:
    weight = beta**2
    called = candidates.tp + candidates.fp
    return _widest(
        (1 + weight) * candidates.tp / (weight * candidates.positives + called), candidates
    )


def _widest(quality: NDArray, candidates: _Candidates) -> int:
    return int(np.argmax(np.where(quality == quality.max(), candidates.gap, -1.0)))


def _highest_reaching_sensitivity(candidates: _Candidates, target: float) -> int:
    # The lowest candidate, 0, has a sensitivity of 1, so that one is always found.
    return int(np.flatnonzero(candidates.tp / candidates.positives >= target)[-1])


def _lowest_reaching_specificity(candidates: _Candidates, target: float) -> int:
    negatives = candidates.negatives
    specificity = (negatives - candidates.fp) / negatives
    if specificity[-1] < target:
        raise PredictionsError(
            f"A threshold in [0, 1] must exist that reaches a specificity of {target}. The highest "
            f"that can be reached is {specificity[-1]:.4g}: {candidates.fp[-1]} of {negatives} "
            "NORMAL images have a score of exactly 1. Ask for less, or choose another policy."
        )
    return int(np.argmax(specificity >= target))


def _policy_error(received: str) -> SettingsError:
    return SettingsError(
        f"A threshold policy must be one of {', '.join(map(repr, POLICIES))}, with any number in "
        "(0, 1] for sensitivity and specificity, (0, 100] for f_beta, [0, 1] for fixed. "
        f"Received: {received!r}. Write it as in these examples."
    )
