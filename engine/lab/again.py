"""Repeats a logged benchmark, to show the effect of an upgrade of the library, the kernel or the BIOS."""

from __future__ import annotations

from pathlib import Path

from engine.errors import UsageError
from engine.guide import builtin
from engine.lab.bench import Point
from engine.lab.grid import window_of
from engine.lab.log import Compared, differences
from engine.lab.rows import FLASH
from engine.llama.measuring.work import Setup, Work
from engine.presets.preset import Preset
from engine.store.lab_runs import LabRun


def points_of(run: LabRun) -> list[Point]:
    """Return the points of a logged benchmark.

    Raises:
        UsageError: The run is not a benchmark, or has a row that can't be measured here.
    """
    rows = run.facts.get("rows")
    if run.kind != "bench" or not rows:
        raise UsageError(f"Run {run.id} can't be repeated", f"It is a {run.kind}, not a benchmark", f"Repeat it with `{run.command}`.")
    flash = {number: word for word, number in FLASH.items()}
    try:
        return [
            Point(
                Setup(
                    builtin.ref_of(Path(row["model_filename"])),
                    Preset(
                        **{name: row[name] for name in ("n_batch", "n_ubatch", "type_k", "type_v", "repack")},
                        threads=row["n_threads"],
                        threads_batch=row.get("n_threads_batch", row["n_threads"]),
                        flash_attn=flash[row["flash_attn"]],  # type: ignore[arg-type]
                        mmap=row["load_mode"] == "mmap",
                        n_ctx=window_of(work),
                        parallel=work.n_parallel,
                    ),
                ),
                work,
            )
            for row in rows
            for work in (Work(row["n_prompt"], row["n_gen"], row["n_depth"], row.get("n_parallel", 1)),)
        ]
    except (KeyError, TypeError) as error:
        raise UsageError(f"Run {run.id} can't be repeated", f"One of its rows lacks {error}") from error


def change_since(before: LabRun, after: LabRun, rows: tuple[Compared, ...]) -> str:
    """Describe the change of a benchmark's speed, and the changes of the machine in between, in a sentence; `rows`: at least one."""
    slower = [row for row in rows if row.ratio.high < 1]
    faster = [row for row in rows if row.ratio.low > 1]
    differ = [f"{name} {old} → {new}" for name, old, new in differences(before, after)]
    since = f" since {'; '.join(differ)}" if differ else "; machine, kernel and library are the same"
    if not slower and not faster:
        return f"No test changed beyond its interval{since}."
    parts = [f"{len(some)} of {len(rows)} tests {word}" for some, word in ((slower, "slower"), (faster, "faster")) if some]
    most = max((*slower, *faster), key=lambda row: abs(row.ratio.estimate - 1))
    return f"{' and '.join(parts)} ({most.test}: {100 * (most.ratio.estimate - 1):+.1f} %){since}."
