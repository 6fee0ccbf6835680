"""Writes turns and measurements as rows in the format of llama-bench.

A turn makes two rows: its prefill as `pp` (prompt tokens evaluated, at the depth of the cached tokens) and its decode as `tg`. Unlike
llama-bench's own, the decode time of a turn includes sampling. Unknown values are empty in CSV and null elsewhere.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from engine.presets.preset import SETTINGS, Preset, value_of
from engine.store.export.escaping import spreadsheet_cell
from engine.store.export.tables import Selection, preset_settings, where

# fmt: off
FIELDS = (
    "build_commit", "build_number", "cpu_info", "gpu_info", "backends", "model_filename", "model_type", "model_size",
    "model_n_params", "n_batch", "n_ubatch", "n_threads", "cpu_mask", "cpu_strict", "poll", "type_k", "type_v", "n_gpu_layers",
    "n_cpu_moe", "split_mode", "main_gpu", "no_kv_offload", "flash_attn", "devices", "tensor_split", "tensor_buft_overrides",
    "load_mode", "lazy_mode", "embeddings", "no_op_offload", "no_host", "repack", "fit_target", "fit_min_ctx", "n_prompt", "n_gen",
    "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts",
)
# fmt: on
"""llama-bench's field names, in its order."""

_PLACES = frozenset({"n_gpu_layers", "n_cpu_moe", "split_mode", "main_gpu", "devices", "tensor_split"})
"""Fields for what was on devices, which a preset only wishes for."""

BENCH_KEYS = tuple(key for key in SETTINGS if key in FIELDS and key not in _PLACES)
"""Settings with a field of the same name."""

SAMPLE_FIELDS = ("samples_ns", "samples_ts")
"""The single repetitions, in JSON only."""

# fmt: off
_INTEGERS = frozenset({
    "build_number", "n_batch", "n_ubatch", "n_threads", "poll", "model_size", "model_n_params", "n_gpu_layers", "main_gpu",
    "n_prompt", "n_gen", "n_depth", "avg_ns", "stddev_ns", "no_op_offload", "n_cpu_moe", "fit_target", "fit_min_ctx", "flash_attn",
    "no_kv_offload", "cpu_strict", "embeddings", "no_host", "repack",
})
# fmt: on
_REALS = frozenset({"avg_ts", "stddev_ts"})

_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}

BenchRow = Mapping[str, Any]
"""Values by field name; a missing field is unknown."""


class Dialect(StrEnum):
    """The formats of llama-bench."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    SQL = "sql"


def rows_of_turns(db: sqlite3.Connection, selection: Selection) -> Iterator[BenchRow]:
    """Yield the rows of each turn: one for evaluated and one for generated tokens, if any."""
    condition, values = where(selection)
    cursor = db.execute(
        "SELECT started_ms / 1000, cpu, llama_cpp_version, model, quant, model_path, preset_json, threads, threads_batch, "
        f"cache_n, prompt_n, prompt_ms, predicted_n, predicted_ms FROM v_turns WHERE {condition} ORDER BY session_id, turn_id",
        values,
    )
    for (
        started,
        cpu,
        version,
        model,
        quant,
        path,
        preset_json,
        threads,
        threads_batch,
        cache_n,
        prompt_n,
        prompt_ms,
        predicted_n,
        predicted_ms,
    ) in cursor:
        number, commit = build_of(version or "")
        common = {
            "build_commit": commit,
            "build_number": number,
            "cpu_info": cpu,
            "gpu_info": "",
            "backends": "CPU",
            "model_filename": path,
            "model_type": f"{model} {quant}".strip(),
            "n_gpu_layers": 0,
            "test_time": datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **settings_of(preset_json),
        }
        if prompt_n and prompt_ms > 0:
            yield common | _figures(prompt_n, 0, cache_n, prompt_ms) | {"n_threads": threads_batch}
        if predicted_n and predicted_ms > 0:
            yield common | _figures(0, predicted_n, cache_n + prompt_n, predicted_ms) | {"n_threads": threads}


def settings_of(preset_json: str) -> dict[str, Any]:
    """Return the settings of a preset with a field in llama-bench; `auto` is unknown."""
    preset = preset_settings(preset_json)
    values = {key: preset.get(key, value_of(Preset(), key)) for key in BENCH_KEYS}
    known = {key: None if value == "auto" else value for key, value in values.items()}
    return known | {
        "flash_attn": _FLASH_ATTENTION.get(values["flash_attn"]),
        "load_mode": "mmap" if preset.get("mmap", True) else None,
    }


def build_of(version: str) -> tuple[int | None, str | None]:
    """Parse build number and commit of a version such as `0.3.36, llama.cpp b6789 (0a1b2c3d)`; None where missing."""
    number = re.search(r"\bb(\d{3,6})\b", version)
    commit = re.search(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b", version)
    return (int(number[1]) if number else None), (commit[0] if commit else None)


def command_line(*, model_path: str, preset_json: str, threads: int, n_prompt: int, n_gen: int, n_depth: int) -> str:
    """Make the llama-bench call that repeats the measurement; its `pp` rows are prefill, its `tg` rows decode."""
    settings = settings_of(preset_json)
    words: list[object] = ["llama-bench", "-m", model_path, "-p", n_prompt, "-n", n_gen]
    if n_depth:
        words += ["-d", n_depth]
    words += ["-t", threads]
    for key in BENCH_KEYS:
        flag, value = SETTINGS[key].llama.split()[0], settings[key]
        if key == "flash_attn":
            value = next((name for name, number in _FLASH_ATTENTION.items() if number == value), None)
        if value is not None and not flag.startswith("--"):
            words += [flag, value]
    return shlex.join(str(word) for word in words)


def write_llama_bench(out: TextIO, dialect: Dialect, rows: Iterable[BenchRow]) -> None:
    """Write rows in one of llama-bench's formats."""
    match dialect:
        case Dialect.CSV:
            writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
            out.write(",".join(FIELDS) + "\n")
            writer.writerows([spreadsheet_cell(_plain(row.get(field))) for field in FIELDS] for row in rows)
        case Dialect.JSON:
            separator = "["
            for row in rows:
                out.write(separator + "\n" + json.dumps(_whole(row), indent=2, ensure_ascii=False))
                separator = ","
            out.write("[]\n" if separator == "[" else "\n]\n")
        case Dialect.JSONL:
            for row in rows:
                out.write(json.dumps(_whole(row), ensure_ascii=False) + "\n")
        case Dialect.SQL:
            columns = ",\n".join(
                f"  {field} {'INTEGER' if field in _INTEGERS else 'REAL' if field in _REALS else 'TEXT'}" for field in FIELDS
            )
            out.write(f"CREATE TABLE IF NOT EXISTS llama_bench (\n{columns}\n);\n\n")
            for row in rows:
                out.write(
                    f"INSERT INTO llama_bench ({', '.join(FIELDS)}) VALUES ({', '.join(_literal(row.get(field)) for field in FIELDS)});\n"
                )


def _figures(n_prompt: int, n_gen: int, n_depth: int, took_ms: float) -> dict[str, Any]:
    took_ns = round(took_ms * 1e6)
    speed = (n_prompt + n_gen) * 1e9 / took_ns
    return {
        "n_prompt": n_prompt,
        "n_gen": n_gen,
        "n_depth": n_depth,
        "avg_ns": took_ns,
        "stddev_ns": 0,
        "avg_ts": speed,
        "stddev_ts": 0.0,
        "samples_ns": [took_ns],
        "samples_ts": [speed],
    }


def _whole(row: BenchRow) -> dict[str, Any]:
    return {field: row.get(field) for field in (*FIELDS, *SAMPLE_FIELDS)}


def _plain(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return repr(_plain(value))
    return "'" + str(value).replace("\0", "").replace("'", "''") + "'"
