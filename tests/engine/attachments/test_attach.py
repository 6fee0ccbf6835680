"""`@path` in a message: which files it means, how they are sent, and what is refused."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.attachments.attach import attach, detached, fenced, mentioned, mentions
from engine.attachments.find import MOST_FILES
from engine.attachments.read import LARGEST, Attachment
from engine.child import command


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with ignored, hidden and nested files."""
    for name, text in {
        ".git/HEAD": "",
        ".gitignore": "*.log\n/build/\n!keep.log\n",
        "main.py": "print(1)\n",
        "notes of today.md": "# Notes\n",
        "src/a.py": "a = 1\n",
        "src/b.py": "b = 2\n",
        "src/debug.log": "ignored",
        "src/keep.log": "kept",
        "src/sub/.gitignore": "secret.txt\n",
        "src/sub/c.rs": "fn main() {}\n",
        "src/sub/secret.txt": "ignored",
        "build/out.py": "ignored",
        ".hidden.py": "hidden",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(text: str, base: Path) -> list[str]:
    return [file.name for file in attach(text, base).files]


def test_a_file_is_sent_in_a_fence_with_its_language_and_name(tree: Path) -> None:
    attached = attach("Explain @main.py, please.", tree)
    assert attached.whole == "Explain @main.py, please.\n\n```python main.py\nprint(1)\n```"
    assert detached(attached.whole) == "Explain @main.py, please."


@pytest.mark.parametrize(
    ("named", "files"),
    [
        ("@src", ["src/a.py", "src/b.py", "src/keep.log", "src/sub/c.rs"]),
        ("@src/", ["src/a.py", "src/b.py", "src/keep.log", "src/sub/c.rs"]),
        ("@src/*.py", ["src/a.py", "src/b.py"]),
        ("@**/*.py", ["main.py", "src/a.py", "src/b.py"]),
        ("@src/**/*.rs", ["src/sub/c.rs"]),
        ("@build/out.py", ["build/out.py"]),
        ("@.hidden.py", [".hidden.py"]),
        ('@"notes of today.md"', ["notes of today.md"]),
        ("(see @main.py)", ["main.py"]),
        ("@main.py and @main.py again", ["main.py"]),
        ("mail me@main.py @property @angular/core @*.nothing", []),
    ],
)
def test_paths_folders_and_patterns_mean_files_that_are_not_ignored(tree: Path, named: str, files: list[str]) -> None:
    assert names(named, tree) == files


def test_a_path_elsewhere_and_one_from_home_are_found(tree: Path, isolated_machine: Path, tmp_path: Path) -> None:
    (isolated_machine / "x.txt").write_text("x")
    assert names(f"@{tree}/main.py", tmp_path / "src") == [f"{tree}/main.py"]
    assert names("@~/x.txt", tmp_path / "src") == [str(isolated_machine / "x.txt")]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "not a regular file"),
        (lambda path: os.symlink("/etc/passwd", path), "symbolic link"),
        (lambda path: os.symlink("/dev/zero", path), "symbolic link"),
        (lambda path: path.write_bytes(b"\x7fELF\0\0"), "not a text file"),
        (lambda path: path.write_bytes(b"x" * (LARGEST + 1)), "more than 4,000,000 bytes"),
    ],
    ids=["FIFO", "link", "link to a device", "binary", "large"],
)
def test_what_is_not_a_text_file_of_ones_own_is_left_out_with_the_reason(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    make(tmp_path / "thing")
    attached = attach("@thing", tmp_path)
    assert attached.files == ()
    assert reason in attached.left_out[0]


def test_links_in_a_folder_are_not_followed_and_a_large_folder_is_cut(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(MOST_FILES + 3):
        (tmp_path / "d" / f"{number:03}.txt").write_text("x")
    (tmp_path / "d" / "000link").symlink_to("/etc")
    attached = attach("@d", tmp_path)
    assert len(attached.files) == MOST_FILES
    assert "the others are left out" in attached.left_out[0]


@pytest.mark.parametrize("inside", ["```py\nx\n```", "`````", "a ``` b", "no end", ""])
def test_a_fence_is_longer_than_any_in_the_file(inside: str) -> None:
    text = fenced(Attachment("a`b\n.md", "markdown", inside))
    fence = text.split("markdown")[0]
    assert set(fence) == {"`"}
    assert text.count(fence) == 2
    assert "\n" not in text.split("\n")[0]
    message = f"@x\n\n{text}\n\n{fenced(Attachment('y', 'text', inside))}"
    assert detached(message) == "@x"


def test_a_message_with_fences_of_its_own_is_edited_as_it_is() -> None:
    message = "Fix this:\n\n```python x\n1\n```"
    assert detached(message) == message


def test_a_message_of_many_fences_is_taken_apart_in_a_time_that_grows_with_it() -> None:
    fences = "\n\n```python x y\nfoo\n```" * 20_000
    assert detached(f"see @a.py{fences}") == "see @a.py"
    message = f"see @a.py{fences}\n\nand more"
    assert detached(message) == message


@pytest.mark.parametrize("named", ["a" * 300, "a" * 300 + "/*.py", "x/" * 3000])
def test_a_word_that_is_too_long_for_a_path_names_nothing(tmp_path: Path, named: str) -> None:
    attached = attach(f"@{named}", tmp_path)
    assert (attached.files, attached.left_out) == ((), ())


def test_a_folder_beside_a_repository_has_nothing_to_do_with_what_that_ignores(tree: Path) -> None:
    repository = tree / "repository"
    (repository / ".git").mkdir(parents=True)
    (repository / ".gitignore").write_text("*.py\n")
    assert names("@../src", repository) == ["../src/a.py", "../src/b.py", "../src/keep.log", "../src/sub/c.rs"]


def test_a_path_with_blanks_is_quoted() -> None:
    assert list(mentions(f"see {mentioned('a b.txt')} {mentioned('c.txt')}")) == ["a b.txt", "c.txt"]


def test_the_text_of_documents_is_read_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    docx, openpyxl, pptx = (pytest.importorskip(name) for name in ("docx", "openpyxl", "pptx"))
    pytest.importorskip("pypdf")
    document = docx.Document()
    document.add_heading("Report", 1)
    document.add_paragraph("It is fast.")
    document.save(tmp_path / "a.docx")
    book = openpyxl.Workbook()
    book.active.append(["quant", 4.5])
    book.save(tmp_path / "b.xlsx")
    slides = pptx.Presentation()
    slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "Hello"
    slides.save(tmp_path / "c.pptx")
    (tmp_path / "d.pdf").write_bytes(pdf("It decodes."))
    (tmp_path / "e.pdf").write_bytes(b"%PDF-1.4 damaged")
    attached = attach("@*.docx @*.xlsx @*.pptx @d.pdf @e.pdf", tmp_path)
    assert [file.text.strip() for file in attached.files] == [
        "# Report\nIt is fast.",
        "# Sheet\nquant,4.5",
        "# Slide 1\nHello",
        "It decodes.",
    ]
    assert "e.pdf can't be attached" in attached.left_out[0]


def test_a_small_document_of_much_text_is_refused_before_that_fills_the_memory(tmp_path: Path) -> None:
    book = pytest.importorskip("openpyxl").Workbook()
    for _ in range(300):
        book.active.append(["x" * 32_000])  # a text that the file has once
    book.save(tmp_path / "bomb.xlsx")
    assert "Its text has more than 4,000,000 bytes" in attach("@bomb.xlsx", tmp_path).left_out[0]
    document = (tmp_path / "bomb.xlsx").read_bytes()
    extracted = subprocess.run(command("engine.attachments.extract", ".xlsx"), input=document, capture_output=True, check=True)
    assert len(extracted.stdout) == LARGEST + 1


def test_a_document_without_text_is_refused_for_that_reason(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    (tmp_path / "scanned.pdf").write_bytes(b"leading junk\n" + pdf(""))
    assert "No text was found in it" in attach("@scanned.pdf", tmp_path).left_out[0]


def pdf(text: str) -> bytes:
    """A page that says this."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, part in enumerate(parts, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, part))
    start = out.tell()
    out.write(b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start)
    return out.getvalue()


def test_without_the_libraries_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    monkeypatch.setattr("engine.child.command", lambda *_: [*command("engine.attachments.extract")[:1], "-c", "raise SystemExit(3)"])
    assert "xchat-llama[documents]" in attach("@a.pdf", tmp_path).left_out[0]
