"""Grammars that nothing ever completes."""

from __future__ import annotations

import pytest

from engine.llama.constraints.endless import lark_completes, schema_completes

NODE = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        False,
        NODE,
        {"type": "array", "minItems": 1, "items": {"$ref": "#"}},
        {"type": "array", "minItems": 2, "prefixItems": [True], "items": {"$ref": "#"}},
        {"type": "object", "required": ["a"], "additionalProperties": {"$ref": "#"}},
        {"anyOf": [{"$ref": "#"}, False]},
        {
            "$ref": "#/$defs/a",
            "$defs": {name: {**NODE, "properties": {"next": {"$ref": f"#/$defs/{other}"}}} for name, other in ("ab", "ba")},
        },
    ],
    ids=str,
)
def test_a_schema_whose_recursion_has_no_way_out_is_found(schema: object) -> None:
    assert not schema_completes(schema)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"type": "array", "items": {"$ref": "#"}},
        {"type": ["object", "null"], "required": ["next"], "properties": {"next": {"$ref": "#"}}},
        {"anyOf": [NODE, {"type": "null"}]},
        {"$ref": "https://example.org/elsewhere"},
        {"$ref": "#/not/there"},
        {"$ref": "#/$defs/~0~1", "$defs": {"~/": {"type": "null"}}},
    ],
    ids=str,
)
def test_a_schema_with_a_way_out_is_not(schema: object) -> None:
    assert schema_completes(schema)


@pytest.mark.parametrize(
    "grammar",
    [
        'start: "a" start',
        'start: a b\na: "x" a | "y" a\nb: "c"',
        'start: a{2,3}\na: "x" a',
        'start: a\na: "(" a ")" // | "b"\n',
        'start: a\na[lazy]: "start" a "|"',
        'start: %json {"$ref":"#"} "x"',
        'start: (a | b) "c"\na: b\nb: a',
    ],
)
def test_a_rule_without_a_way_out_is_found(grammar: str) -> None:
    assert not lark_completes(grammar)


@pytest.mark.parametrize(
    "grammar",
    [
        'start: start "a" | "b"',
        'start: a*\na: "x" a',
        'start: a{0,3}\na: "x" a',
        'start: a\na: "x" a\n | "y"',
        'start: a\na: "x" (a | "z")',
        'start: a\na: "x" [a]\n%ignore /b/',
        'start: %json {"type":"object"} "x"',
        "start: TEXT @other\nTEXT: /[a|]+/",
    ],
)
def test_a_rule_with_a_way_out_is_not(grammar: str) -> None:
    assert lark_completes(grammar)


def test_a_chain_of_thousands_of_rules_takes_no_time() -> None:
    chain = "\n".join(f'r{number}: "a" r{number + 1}' for number in range(2_000))
    assert lark_completes(f'start: r0\n{chain}\nr2000: "b"')
    assert not lark_completes(f"start: r0\n{chain}\nr2000: r0")
