"""`xchat bench`: its output formats, what it skips and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from typing import Any

import pytest

from engine.store.export.llama_bench import FIELDS, SAMPLE_FIELDS
from tests.tui.cli.conftest import Run

SMALL = ("bench", "builtin", "-p", "8", "-n", "2", "-t", "1", "-r", "2")


def rows_of(form: str, text: str) -> list[dict[str, Any]]:
    """Parse one of the formats."""
    match form:
        case "csv":
            return list(csv.DictReader(io.StringIO(text)))
        case "json":
            rows: list[dict[str, Any]] = json.loads(text)
            return rows
        case "jsonl":
            return [json.loads(line) for line in text.splitlines()]
        case _:
            db = sqlite3.connect(":memory:")
            db.row_factory = sqlite3.Row
            db.executescript(text)
            return [dict(row) for row in db.execute("SELECT * FROM llama_bench")]


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "sql"])
@pytest.mark.slow
def test_every_format_parses_and_has_every_field(xchat: Run, form: str) -> None:
    ran = xchat(*SMALL, "-o", form)
    assert ran.code == 0, ran.err
    prefill, decode = rows_of(form, ran.out)
    fields = [*FIELDS, *(SAMPLE_FIELDS if "json" in form else ())]
    assert list(prefill) == list(decode) == fields
    assert [field for field in fields if prefill[field] is None or decode[field] is None] == []
    assert [int(row[name]) for row in (prefill, decode) for name in ("n_prompt", "n_gen", "n_threads")] == [8, 0, 1, 0, 2, 1]
    assert float(prefill["avg_ts"]) > 0
    assert float(decode["avg_ns"]) > 0


@pytest.mark.slow
def test_the_table_has_a_row_for_each_test_and_names_the_build(xchat: Run) -> None:
    ran = xchat(*SMALL)
    heads, _rule, prefill, decode, _, build = ran.out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (heads, prefill, decode)]
    assert cells[0] == ["model", "size", "params", "backend", "threads", "test", "t/s"]
    assert [line[5] for line in cells[1:]] == ["pp8", "tg2"]
    assert build.startswith("build: ")
    assert "pp8: only 2 repetitions" in ran.err


@pytest.mark.slow
def test_a_point_that_does_not_fit_is_skipped_with_its_reason_and_the_others_are_measured(xchat: Run) -> None:
    ran = xchat(*SMALL, "-d", "0,900000000", "-o", "jsonl")
    assert ran.code == 0, ran.err
    assert [(row["n_prompt"], row["n_depth"]) for row in rows_of("jsonl", ran.out)] == [(8, 0), (0, 0)]
    skipped = [line for line in ran.err.splitlines() if line.startswith("skipped")]
    assert [line.split(":")[0] for line in skipped] == ["skipped pp8 @ d900000000", "skipped tg2 @ d900000000"]
    assert all("too large" in line for line in skipped)


@pytest.mark.slow
def test_a_model_that_is_missing_is_named_and_the_others_are_measured(xchat: Run) -> None:
    ran = xchat("bench", "builtin", "/nowhere.gguf", *SMALL[2:], "-o", "jsonl")
    assert ran.code == 0
    assert len(rows_of("jsonl", ran.out)) == 2
    assert "skipped pp8: nowhere.gguf does not exist" in ran.err
    assert xchat("bench", "/nowhere.gguf").code == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("-p", "x"), "'x' is not a list of numbers"),
        (("-p", "8-1"), "'8-1' is empty"),
        (("-n", "1-4+0"), "'1-4+0' does not end"),
        (("-p", "0", "-n", "0"), "A grid of 0 points"),
        (("-pg", "8"), "'8' is not a pair"),
        (("-t", "99999"), "threads can't be 99999"),
        (("-ctk", "q9"), "type_k can't be q9"),
        (("-fa", "maybe"), "flash_attn can't be maybe"),
        (("-mmp", "maybe"), "mmap can't be maybe"),
        (("-r", "0"), "--repetitions: '0' is not a number above zero"),
        (("-r", "1.5"), "--repetitions: '1.5' is not a whole number"),
        (("--minutes", "0"), "--minutes: '0'"),
        (("--minutes", "inf"), "--minutes: 'inf'"),
        (("--seconds", "nan"), "--seconds: 'nan'"),
        (("--precision", "-1"), "--precision: '-1'"),
        (("-o", "xml"), "'xml'"),
        (("-npl", "2", "-d", "64"), "-d and -pg can't be combined with -npl"),
        (("-npl", "2", "-pg", "8,8"), "-d and -pg can't be combined with -npl"),
    ],
    ids=str,
)
def test_what_can_not_be_meant_is_refused_by_name(xchat: Run, arguments: tuple[str, ...], named: str) -> None:
    ran = xchat("bench", "builtin", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert named in ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_unknown_family_is_named(xchat: Run) -> None:
    ran = xchat("bench", "no-such-family")
    assert ran.code == 3
    assert "'no-such-family'" in ran.err


def test_several_answers_at_once_are_measured_drawn_and_reported(xchat: Run) -> None:
    batched = ("bench", "builtin", "-npl", "1,2", "-p", "8", "-n", "4", "-t", "1", "-r", "1")
    ran = xchat(*batched, "--charts")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0].split("|")[1:5] == ["     PP ", "     TG ", "      B ", "   N_KV "]
    assert "Total decode speed, tokens/s, against sequences" in ran.out
    rows = [json.loads(line) for line in xchat(*batched, "-o", "jsonl").out.splitlines()]
    assert [row["pl"] for row in rows] == [1, 2]
    assert "Total decode speed" in xchat("runs", "report", "1", "--format", "html").out
    refused = xchat(*batched, "-o", "csv")
    assert (refused.code, refused.out) == (2, "")
