"""Rules for choosing a threshold."""

from dataclasses import dataclass
from typing import Self

from keras_pneumo.errors import SettingsError

POLICIES = (
    "youden",
    "sensitivity=0.95",
    "specificity=0.9",
    "f_beta=2",
    "cost_ratio=5",
    "cost_ratio=5@prevalence=0.1",
    "fixed=0.5",
)
_HIGHEST = {"sensitivity": 1, "specificity": 1, "f_beta": 100, "cost_ratio": 1000}


@dataclass(frozen=True)
class ThresholdPolicy:
    """A rule for choosing a threshold, read from and printed as one short text.

    - ``youden``: maximise sensitivity + specificity − 1 (Youden, 1950).
    - ``sensitivity=0.95``: the highest threshold that still reaches this sensitivity.
    - ``specificity=0.9``: the lowest threshold that reaches this specificity.
    - ``f_beta=2``: maximise F-beta (van Rijsbergen, 1979), where sensitivity weighs beta times as
      much as precision.
    - ``cost_ratio=5``: minimise 5 · missed PNEUMONIA + false alarms on the images as they are
      (Metz, 1978).
    - ``cost_ratio=5@prevalence=0.1``: minimise the same cost where a share of 0.1 of the images is
      PNEUMONIA, 5 · (1 − sensitivity) · 0.1 + (1 − specificity) · 0.9 (Zweig & Campbell, 1993):
      for a place with another share of PNEUMONIA than the images that one has.
    - ``fixed=0.5``: this threshold, whatever the data.

    Args:
        name: "youden", "sensitivity", "specificity", "f_beta", "cost_ratio" or "fixed".
        parameter: The number behind "="; None for "youden". In (0, 1] for "sensitivity" and
            "specificity", in (0, 100] for "f_beta", in (0, 1000] for "cost_ratio", in [0, 1] for
            "fixed".
        prevalence: The share of images that are PNEUMONIA where the threshold will be used, in
            (0, 1); only for "cost_ratio". None leaves it at that of the images.

    Raises:
        SettingsError: The name is unknown, or a number is missing, out of range or out of place.

    References:
        W. J. Youden, Index for rating diagnostic tests, Cancer 3 (1950) 32-35.
        C. J. van Rijsbergen, Information Retrieval, 2nd ed. (1979), chapter 7.
        C. E. Metz, Basic principles of ROC analysis, Seminars in Nuclear Medicine 8 (1978) 283-298.
        M. H. Zweig, G. Campbell, Receiver-operating characteristic (ROC) plots: a fundamental
        evaluation tool in clinical medicine, Clinical Chemistry 39 (1993) 561-577.

    Examples:
        >>> policy = ThresholdPolicy.parse("cost_ratio=5.0@prevalence=0.10")
        >>> policy.parameter, policy.prevalence, str(policy)
        (5.0, 0.1, 'cost_ratio=5@prevalence=0.1')
    """

    name: str
    parameter: float | None = None
    prevalence: float | None = None

    def __post_init__(self) -> None:
        """Check the name and the numbers."""
        number = self.parameter
        if self.name in _HIGHEST:
            fine = number is not None and 0 < number <= _HIGHEST[self.name]
        elif self.name == "fixed":
            fine = number is not None and 0 <= number <= 1
        else:
            fine = self.name == "youden" and number is None
        if self.prevalence is not None:
            fine = fine and self.name == "cost_ratio" and 0 < self.prevalence < 1
        if not fine:
            raise _policy_error(str(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy from its text.

        Args:
            text: Such as "youden", "sensitivity=0.95" or "cost_ratio=5@prevalence=0.1".

        Returns:
            The policy.

        Raises:
            SettingsError: The text is no policy.
        """
        rule, at, condition = text.partition("@")
        name, equals, number = rule.partition("=")
        key, _, prevalence = condition.partition("=")
        if at and key.strip() != "prevalence":
            raise _policy_error(text)
        try:
            return cls(
                name.strip(),
                float(number) if equals else None,
                float(prevalence) if at else None,
            )
        except ValueError:
            raise _policy_error(text) from None

    def __str__(self) -> str:
        """The text that ``parse`` reads."""
        text = self.name
        if self.parameter is not None:
            text += f"={_plain(self.parameter)}"
        if self.prevalence is not None:
            text += f"@prevalence={_plain(self.prevalence)}"
        return text

    def in_words(self) -> str:
        """Say what this policy does, as the rest of a sentence on the threshold."""
        number = _plain(self.parameter or 0)  # "youden" has no number and needs none
        cost = f"minimises {number} · missed PNEUMONIA + false alarms"
        if self.prevalence is not None:
            cost += f" expected at a prevalence of {_plain(self.prevalence)} from the error rates"
        return {
            "youden": "maximises sensitivity + specificity − 1 (Youden's index)",
            "sensitivity": f"is the highest that still reaches a sensitivity of {number}",
            "specificity": f"is the lowest that reaches a specificity of {number}",
            "f_beta": f"maximises F-beta with beta = {number}",
            "cost_ratio": cost,
            "fixed": "was fixed in advance, without looking at any data",
        }[self.name]


def _plain(number: float) -> str:
    return f"{float(number)!r}".removesuffix(".0")


def _policy_error(received: str) -> SettingsError:
    return SettingsError(
        f"A threshold policy must be one of {', '.join(map(repr, POLICIES))}, with any number in "
        "(0, 1] for sensitivity and specificity, (0, 100] for f_beta, (0, 1000] for cost_ratio, "
        "(0, 1) for prevalence, [0, 1] for fixed. "
        f"Received: {received!r}. Write it as in these examples."
    )
