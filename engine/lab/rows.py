"""Formats measured points as rows of llama-bench, and as its Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from engine.lab.bench import Point
from engine.lab.statistics import deviation
from engine.store.export.llama_bench import BenchRow, build_of
from engine.store.host import Host

FLASH: Final = {"auto": -1, "off": 0, "on": 1}
_DEFAULTS: Final = {"n_batch": 2048, "n_ubatch": 512, "type_k": "f16", "type_v": "f16", "flash_attn": -1, "load_mode": "mmap"}
"""llama-bench's defaults; the table shows a field only when some row differs from them."""
_SHORT: Final = {"n_threads": "threads", "flash_attn": "fa", "load_mode": "lm"}
_FIXED: Final[dict[str, Any]] = {
    "gpu_info": "",
    "backends": "CPU",
    "cpu_mask": "0x0",
    "cpu_strict": False,
    "poll": 50,
    "n_gpu_layers": 0,
    "n_cpu_moe": 0,
    "split_mode": "layer",
    "main_gpu": 0,
    "no_kv_offload": False,
    "devices": "auto",
    "tensor_split": "0.00",
    "tensor_buft_overrides": "none",
    "lazy_mode": "auto",
    "embeddings": False,
    "no_op_offload": False,
    "no_host": False,
    "fit_target": 0,
    "fit_min_ctx": 0,
}
"""llama-bench's values of parameters that xchat has no setting for."""


def bench_rows(points: Iterable[Point], host: Host) -> Iterator[BenchRow]:
    """Yield a row for each measured point. The build number is 0 where the library does not report one, as in llama.cpp itself."""
    for point in points:
        figures, preset, work, speeds = point.figures, point.setup.preset, point.work, point.speeds
        if figures is None or not speeds:
            continue
        number, commit = build_of(figures.library)
        yield _FIXED | {
            "build_commit": commit or "unknown",
            "build_number": number or 0,
            "cpu_info": host.cpu,
            "model_filename": figures.filename,
            "model_type": figures.type,
            "model_size": figures.size,
            "model_n_params": figures.n_params,
            "n_batch": preset.n_batch,
            "n_ubatch": preset.n_ubatch,
            "n_threads": figures.threads if work.n_gen else figures.threads_batch,
            "type_k": preset.type_k,
            "type_v": preset.type_v,
            "flash_attn": FLASH[preset.flash_attn],
            "load_mode": "mmap" if preset.mmap else "none",
            "repack": preset.repack,
            "n_prompt": work.n_prompt,
            "n_gen": work.n_gen,
            "n_depth": work.n_depth,
            "test_time": datetime.fromtimestamp(point.measured_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "avg_ns": round(sum(point.samples_ns) / len(point.samples_ns)),
            "stddev_ns": round(deviation(point.samples_ns)),
            "avg_ts": sum(speeds) / len(speeds),
            "stddev_ts": deviation(speeds),
            "samples_ns": point.samples_ns,
            "samples_ts": speeds,
        }


def batched_rows(points: Iterable[Point]) -> Iterator[dict[str, Any]]:
    """Yield rows under llama-batched-bench's names for points of several sequences; seconds and tokens per second are means."""
    for point in points:
        figures, preset, work = point.figures, point.setup.preset, point.work
        if figures is None or not point.samples_ns:
            continue
        count, total = len(point.samples_ns), sum(point.samples_ns)
        t_pp, t_tg, t = (ns / count / 1e9 for ns in (sum(point.prompt_ns), total - sum(point.prompt_ns), total))
        prompt, gen = work.n_prompt * work.n_parallel, work.n_gen * work.n_parallel
        yield {
            "n_kv_max": preset.n_ctx,
            "n_batch": preset.n_batch,
            "n_ubatch": preset.n_ubatch,
            "flash_attn": FLASH[preset.flash_attn],
            "is_pp_shared": 0,
            "n_gpu_layers": 0,
            "n_threads": figures.threads,
            "n_threads_batch": figures.threads_batch,
            "pp": work.n_prompt,
            "tg": work.n_gen,
            "pl": work.n_parallel,
            "n_kv": work.tokens,
            "t_pp": t_pp,
            "speed_pp": prompt / t_pp if prompt else 0.0,
            "t_tg": t_tg,
            "speed_tg": gen / t_tg if gen else 0.0,
            "t": t,
            "speed": work.tokens / t,
        }


def batched_table(rows: Sequence[dict[str, Any]]) -> str:
    """Format llama-batched-bench's table."""
    heads = {"PP": "pp", "TG": "tg", "B": "pl", "N_KV": "n_kv"}
    speeds = {"T_PP s": "t_pp", "S_PP t/s": "speed_pp", "T_TG s": "t_tg", "S_TG t/s": "speed_tg", "T s": "t", "S t/s": "speed"}
    cells = [
        [*(f"{row[key]:>6}" for key in heads.values()), *(f"{row[key]:>8.{3 - 1 * ('speed' in key)}f}" for key in speeds.values())]
        for row in rows
    ]
    lines = [
        [*(f"{head:>6}" for head in heads), *(f"{head:>8}" for head in speeds)],
        ["-" * 6] * len(heads) + ["-" * 8] * len(speeds),
        *cells,
    ]
    return "\n".join(f"|{'|'.join(f' {cell} ' for cell in line)}|" for line in lines)


def name_of_test(row: BenchRow) -> str:
    """Return llama-bench's name of a test: `pp512`, `tg128`, `pp512+tg128 @ d1024`; `4 x pp128+tg32` for parallel sequences."""
    many = f"{row['n_parallel']} x " if row.get("n_parallel", 1) > 1 else ""
    parts = [f"pp{row['n_prompt']}"] * bool(row["n_prompt"]) + [f"tg{row['n_gen']}"] * bool(row["n_gen"])
    return many + "+".join(parts) + (f" @ d{row['n_depth']}" if row["n_depth"] else "")


def markdown_table(rows: Sequence[BenchRow]) -> str:
    """Format llama-bench's table: a column for each field that differs from its default in some row."""
    shown = [key for key, value in _DEFAULTS.items() if any(row[key] != value for row in rows)]
    heads = ["model", "size", "params", "backend", "threads", *(_SHORT.get(key, key) for key in shown), "test", "t/s"]
    lines = [
        [
            str(row["model_type"]),
            _size(row["model_size"]),
            _count(row["model_n_params"]),
            str(row["backends"]),
            str(row["n_threads"]),
            *(str(row[key]) for key in shown),
            name_of_test(row),
            f"{row['avg_ts']:.2f} ± {row['stddev_ts']:.2f}",
        ]
        for row in rows
    ]
    widths = [max(len(line[index]) for line in [heads, *lines]) for index in range(len(heads))]
    left = {"model", "backend", "type_k", "type_v", "lm"}

    def drawn(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) if head in left else cell.rjust(width) for cell, width, head in zip(cells, widths, heads, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if head in left else "-" * (width - 1) + ":" for head, width in zip(heads, widths, strict=True)]
    return "\n".join([drawn(heads), f"| {' | '.join(rule)} |", *map(drawn, lines)])


def _size(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.2f} MiB"


def _count(params: int) -> str:
    return f"{params / 1e9:.2f} B" if params >= 1e9 else f"{params / 1e6:.2f} M"
