"""Reads the settings for the format of answers from files, and from the `response_format` of requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.errors import UsageError
from engine.regular_file import read_regular
from engine.text import file_name, one_line

IN_FILES: Final = ("json_schema", "grammar")
"""Settings usually given as a file."""
MOST_BYTES: Final = 1 << 20
"""Largest file; the engine's limit is lower."""
_OFF: Final = ("", "none", "off")


def with_contents(values: Mapping[str, str]) -> dict[str, str]:
    """Replace file names in typed values by the files' contents.

    Reads files. Raises UsageError for one that can't be read, and for a schema that is not JSON.
    """
    contents = {key: _content(key, text) if key in IN_FILES else text for key, text in values.items()}
    schema = contents.get("json_schema", "")
    if schema.strip().lower() not in _OFF:
        try:
            json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise UsageError("The JSON schema is not JSON", one_line(str(error)), "Fix it, or give another file.") from None
    return contents


def _content(key: str, text: str) -> str:
    if text.strip().lower() in _OFF or text.lstrip().startswith("{") or any(mark in text for mark in ("\n", "::=", "start:")):
        return text
    path = Path(text).expanduser()
    try:
        data = read_regular(path, MOST_BYTES)
        if len(data) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        return data.decode()
    except (OSError, ValueError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeError) else getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{file_name(path)} can't be read for {key}", one_line(reason), "Name another file.") from error


def schema_of_format(wanted: Any) -> str | None:
    """Return the JSON schema of a request's `response_format`, OpenAI's or llama-server's; None for plain text. Raises UsageError."""
    match wanted:
        case None | {"type": "text"}:
            return None
        case {"type": "json_schema", "json_schema": {"schema": dict() | bool() as schema}}:
            return json.dumps(schema)
        case {"type": "json_object" | "json_schema", "schema": dict() | bool() as schema}:
            return json.dumps(schema)
        case {"type": "json_object"}:
            return '{"type":"object"}'
    raise UsageError("response_format can't be used", one_line(str(wanted))[:80], "Its type may be text, json_object or json_schema")
