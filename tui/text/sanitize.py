"""Text from models, files and pastes made fit for a terminal: shown, never interpreted."""

from __future__ import annotations

_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)} | {0x7F: 0x2421}
_C1 = dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
_BIDI = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], None)
_LINES = {0x2028: 0x0A, 0x2029: 0x0A, 0x0D: None}
_TABLE = _PICTURES | _C1 | _BIDI | _LINES


def visible(text: str) -> str:
    """`text` with every control character replaced by its visible symbol (ESC becomes ␛) and bidirectional overrides removed.

    Newlines and tabs stay; carriage returns go, since they could overwrite what was shown before on the same line.
    """
    return text.translate(_TABLE)
