"""The settings that give answers a form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.messages import Constraint, ConstraintKind, constraint_of
from engine.presets.answer_forms import MOST_BYTES, schema_of_format, with_contents
from engine.presets.preset import Preset
from engine.presets.settings import with_text


def test_files_are_read_and_texts_are_taken_as_they_are(tmp_path: Path) -> None:
    schema, grammar = tmp_path / "schema.json", tmp_path / "rules"
    schema.write_text('{"type": "null"}\n')
    grammar.write_text('root ::= "a"')
    assert with_contents({"json_schema": str(schema), "threads": str(schema)}) == {
        "json_schema": '{"type": "null"}\n',
        "threads": str(schema),
    }
    assert with_contents({"grammar": str(grammar)}) == {"grammar": 'root ::= "a"'}
    for text in ("{}", "off", "none"):
        assert with_contents({"json_schema": text}) == {"json_schema": text}
    assert with_contents({"grammar": 'start: "a"'}) == {"grammar": 'start: "a"'}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"not JSON", b" " * (MOST_BYTES + 1), b"[" * 100_000, None])
def test_a_file_that_cannot_be_a_schema_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError):
        with_contents({"json_schema": str(path)})


def test_a_preset_has_one_form_and_off_is_none() -> None:
    preset = with_text(Preset(), {"json_schema": "{}"})
    assert constraint_of(preset) == Constraint(ConstraintKind.JSON_SCHEMA, "{}")
    assert constraint_of(with_text(preset, {"json_schema": "off"})) is None
    kinds = {'root ::= "a"': ConstraintKind.GBNF, 'start: "a"': ConstraintKind.LARK}
    assert {text: made.kind for text in kinds if (made := constraint_of(with_text(Preset(), {"grammar": text})))} == kinds
    assert constraint_of(with_text(Preset(), {"regex": "a+"})) == Constraint(ConstraintKind.REGEX, "a+")
    with pytest.raises(UsageError, match="combined"):
        with_text(preset, {"regex": "a"})


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, '{"type":"object"}'),
        ({"type": "json_object", "schema": {"type": "null"}}, '{"type": "null"}'),
        ({"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "null"}}}, '{"type": "null"}'),
    ],
)
def test_the_response_format_of_requests_is_a_schema(wanted: Any, schema: str | None) -> None:
    assert schema_of_format(wanted) == schema


@pytest.mark.parametrize(
    "wanted", ["json", {}, {"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"schema": 7}}]
)
def test_other_response_formats_are_errors(wanted: Any) -> None:
    with pytest.raises(UsageError, match="response_format"):
        schema_of_format(wanted)
