"""The child process that reads a document on standard input and writes its text (`extract .pdf`). Memory and CPU time are limited."""

from __future__ import annotations

import io
import logging
import resource
import sys
from collections.abc import Callable, Iterable

from engine.attachments.read import LARGEST, MISSING

MEMORY_BYTES = 2 << 30
CPU_S = 50


def _pdf(file: io.BytesIO) -> Iterable[str]:
    from pypdf import PdfReader

    return (page.extract_text() for page in PdfReader(file).pages)


def _docx(file: io.BytesIO) -> Iterable[str]:
    from docx import Document
    from docx.table import Table

    for part in Document(file).iter_inner_content():
        if isinstance(part, Table):
            yield from (" | ".join(cell.text for cell in row.cells) for row in part.rows)
        else:
            level = part.style.name if part.style is not None and part.style.name is not None else ""
            number = level.removeprefix("Heading ")
            yield f"{'#' * int(number)} {part.text}" if level != number and number.isdecimal() else part.text


def _xlsx(file: io.BytesIO) -> Iterable[str]:
    from openpyxl import load_workbook

    for sheet in load_workbook(file, read_only=True, data_only=True).worksheets:
        yield f"# {sheet.title}"
        yield from (",".join("" if value is None else str(value) for value in row) for row in sheet.iter_rows(values_only=True))


def _pptx(file: io.BytesIO) -> Iterable[str]:
    from pptx import Presentation

    for number, slide in enumerate(Presentation(file).slides, 1):
        yield f"# Slide {number}"
        yield from (shape.text_frame.text for shape in slide.shapes if shape.has_text_frame)


READERS: dict[str, Callable[[io.BytesIO], Iterable[str]]] = {".pdf": _pdf, ".docx": _docx, ".xlsx": _xlsx, ".pptx": _pptx}


def main() -> None:
    """Write the text of the document on standard input, cut at the limit."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    logging.disable()  # a damaged document may make a library warn endlessly
    left = LARGEST + 1  # one character more shows that the text is too long
    try:
        for line in READERS[sys.argv[1]](io.BytesIO(sys.stdin.buffer.read())):
            left -= sys.stdout.buffer.write(f"{line}\n".encode("utf-8", "replace")[:left])
            if not left:
                break
    except ImportError:
        sys.exit(MISSING)
    except Exception as error:  # noqa: BLE001 - whatever a damaged document makes a library raise is its reason
        sys.stderr.write(f"It can't be read: {type(error).__name__} {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
