"""Compare several ways to do the same work: in turns, with the machine's facts, on record.

A benchmark is a module of this folder. Run with ``python -m benchmarks.NAME`` it prints a Markdown
table, and with ``--json FILE`` it writes one JSON object as well. All values of the object are
plain, but for ``variants``, a list of flat objects:

``benchmark``, ``command``, ``date``
    What was run, and on which day (ISO 8601).
``speedup``, ``speedup_min``, ``speedup_max``
    The headline: how many times better the variant ``of`` does than the variant ``over``; median
    and range over the repetitions, each of which compares two neighbouring measurements.
``of``, ``over``
    Names of two variants.
``unit``, ``better``
    The unit of what is compared, and which is better, ``"higher"`` or ``"lower"``.
``repetitions``
    How often each variant was measured.
``variants``
    For each: ``name``; ``median``, ``min`` and ``max`` in ``unit``; ``speedup`` over ``over``
    (median); and the median of whatever else it measures, such as ``peak_mib``.
``cpu``, ``cores``, ``cpu_flags``, ``memory_gib``, ``load``, ``system``, versions
    See ``machine``.

A benchmark may add settings of its own, such as ``images``. Nothing names a host, a user or a
folder.
"""

import json
import os
import platform
import re
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar

import click

from benchmarks._picture import draw
from keras_pneumo.evaluation.style import as_png
from keras_pneumo.files import replacing

Figures = dict[str, float]

_Result = TypeVar("_Result")

# Instructions that decide how fast a network runs: x86, then ARM.
_FLAGS = ["avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16"]
_FLAGS += ["amx_bf16", "amx_int8", "asimd", "sve", "bf16", "i8mm"]

data_option = click.option(
    "--data",
    envvar="KERAS_PNEUMO_DATA",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A collection of chest X-rays; without one, phantoms are drawn.",
)
weights_option = click.option(
    "--weights",
    envvar="KERAS_PNEUMO_BACKBONE",
    help="imagenet, or a .weights.h5 of the backbone [random]",
)
json_option = click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result to this file, too, and draw it into a .png beside it.",
)


def in_turns(
    variants: Mapping[str, Callable[[], Figures]], repetitions: int
) -> dict[str, list[Figures]]:
    """Measure A B A B ..., so that what disturbs the machine for a while disturbs all alike.

    Args:
        variants: What measures each of them once and returns its figures, by name.
        repetitions: How often each is measured.

    Returns:
        The figures of each variant, one entry per repetition.

    Examples:
        >>> in_turns({"a": lambda: {"s": 1.0}, "b": lambda: {"s": 2.0}}, 2)
        {'a': [{'s': 1.0}, {'s': 1.0}], 'b': [{'s': 2.0}, {'s': 2.0}]}
    """
    measured: dict[str, list[Figures]] = {name: [] for name in variants}
    for _ in range(repetitions):
        for name, measure in variants.items():
            measured[name].append(measure())
    return measured


class OwnProcess:
    """A fresh process that does what it is told, one call after the other.

    Args:
        environment: Variables that it has besides those of this process, for what libraries read
            when they are imported.
    """

    def __init__(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._pool = ProcessPoolExecutor(
            1,
            mp_context=get_context("spawn"),
            initializer=_set_environment,
            initargs=(dict(environment),),
        )

    def __enter__(self) -> Self:
        """Nothing happens before the first call."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the process."""
        self._pool.shutdown()

    def call(self, function: Callable[..., _Result], *args: Any) -> _Result:
        """Call a function at the top level of a module; what it raises is raised here."""
        return self._pool.submit(function, *args).result()


def _set_environment(variables: Mapping[str, str]) -> None:
    os.environ |= variables


def in_own_process(
    measure: Callable[..., Figures],
    *args: Any,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Figures:
    """Measure in a fresh process, and add the most memory that it held as ``peak_mib``."""
    with OwnProcess(environment) as process:
        return {**process.call(measure, *args), "peak_mib": process.call(peak_mib)}


def peak_mib() -> float:
    """The most memory that this process has held so far, in MiB.

    Pages of memory-mapped files count while they are in memory.
    """
    status = Path("/proc/self/status")
    if status.exists():
        # Not ``ru_maxrss``: Linux begins it with what the parent held when it started this process.
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return int(found[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (20 if sys.platform == "darwin" else 10)


def use_one_core() -> None:
    """Keep this process and its children on one core, as far as the system can do that.

    TensorFlow looks at it when it starts its threads, so this comes before its first use.
    """
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def machine() -> dict[str, Any]:
    """What a figure depends on: processor, memory, versions.

    Returns:
        ``cpu``, ``cores`` (of the machine), ``cpu_flags``, ``memory_gib``, ``load`` (processes
        that ran in the last minute, on average), ``system``, and the versions of ``python``,
        ``keras``, ``tensorflow``, ``numpy`` and ``keras_pneumo``.
    """
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "cpu_flags": " ".join(flag for flag in _FLAGS if flag in text.split()),
        "memory_gib": round(pages / 2**30, 1),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **{
            name.replace("-", "_"): version(name)
            for name in ("keras", "tensorflow", "numpy", "keras-pneumo")
        },
    }


def summarize(
    benchmark: str,
    measured: Mapping[str, Sequence[Figures]],
    *,
    figure: str,
    unit: str,
    better: Literal["higher", "lower"],
    of: str,
    over: str,
    command: str,
    **settings: str | float,
) -> dict[str, Any]:
    """Make the object that is put on record; its keys are explained above.

    Args:
        benchmark: The module's name.
        measured: What ``in_turns`` returned.
        figure: The figure that is compared; every variant has it.
        unit: Its unit.
        better: ``"higher"`` for rates, ``"lower"`` for times.
        of: The variant whose speed-up is the headline.
        over: The variant that it is compared with, as are all others.
        command: What to type to measure it again.
        **settings: Further keys.

    Examples:
        >>> seconds = {"old": [{"s": 3.0}, {"s": 4.2}], "new": [{"s": 1.0}, {"s": 1.2}]}
        >>> record = summarize(
        ...     "demo", seconds, figure="s", unit="s", better="lower", of="new", over="old",
        ...     command="python -m benchmarks.demo", images=100,
        ... )
        >>> record["speedup"], record["variants"][1]["median"], record["images"]
        (3.25, 1.1, 100)
    """

    def speedups(name: str) -> list[float]:
        ratios = [
            here[figure] / there[figure]
            for here, there in zip(measured[name], measured[over], strict=True)
        ]
        return ratios if better == "higher" else [1 / ratio for ratio in ratios]

    headline = speedups(of)
    return {
        "benchmark": benchmark,
        "command": command,
        "date": date.today().isoformat(),
        "speedup": median(headline),
        "speedup_min": min(headline),
        "speedup_max": max(headline),
        "of": of,
        "over": over,
        "unit": unit,
        "better": better,
        "repetitions": len(headline),
        **settings,
        **machine(),
        "variants": [
            {
                "name": name,
                **_spread([one[figure] for one in figures]),
                "speedup": median(speedups(name)),
                **{
                    other: median(one[other] for one in figures)
                    for other in figures[0]
                    if other != figure
                },
            }
            for name, figures in measured.items()
        ],
    }


def markdown(record: Mapping[str, Any]) -> str:
    """A record as a Markdown table, with the command above and the machine below it."""
    variants = record["variants"]
    shown = ("name", "median", "min", "max", "speedup")
    others = list(dict.fromkeys(key for one in variants for key in one if key not in shown))
    titles = [key.replace("_", " ") for key in others]
    once = record["repetitions"] == 1

    def spread(median: str, low: str, high: str) -> str:
        return median if once else f"{median} [{low}, {high}]"

    speedup, *ends = (f"{record[key]:.2f}" for key in ("speedup", "speedup_min", "speedup_max"))
    headline = spread(f"**{speedup}**", *ends)
    lines = [
        f"`{record['command']}`: {headline} times, {record['of']} against {record['over']}",
        "",
        _row("variant", record["unit"] + ("" if once else ", median [range]"), "times", *titles),
        "| --- |" + " ---: |" * (2 + len(others)),
    ]
    for one in variants:
        values = spread(*(_short(one[key]) for key in ("median", "min", "max")))
        extra = [_short(one[key]) if key in one else "" for key in others]
        lines.append(_row(one["name"], values, f"{one['speedup']:.2f}", *extra))
    facts = (
        f"Measured {'once' if once else str(record['repetitions']) + ' times in turns'}, "
        f"{record['date']}. {record['cpu']}, "
        f"{record['cores']} cores ({record['cpu_flags']}), {record['memory_gib']} GiB, "
        f"load {record['load']}, {record['system']}; Python {record['python']}, "
        f"Keras {record['keras']}, TensorFlow {record['tensorflow']}, NumPy {record['numpy']}, "
        f"keras-pneumo {record['keras_pneumo']}."
    )
    return "\n".join([*lines, "", facts])


def publish(record: Mapping[str, Any], json_file: Path | None) -> None:
    """Print a record as a table; if a file is given, write it as JSON, and draw it beside."""
    click.echo(markdown(record))
    if json_file:
        with replacing(json_file) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        with replacing(json_file.with_suffix(".png")) as temporary:
            temporary.write_bytes(as_png(draw(record)))


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
