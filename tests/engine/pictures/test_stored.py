"""Pictures from strangers: what is taken, what is refused and why, and that each is kept once, for its owner only."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from engine.attachments.attach import attach, detached, dropped
from engine.errors import UsageError
from engine.pictures import convert as converting
from engine.pictures.convert import convert
from engine.pictures.png import decoded, encoded, size_of
from engine.pictures.stored import Picture, file_of, pictures_in, pixels_of, remove_unused, take


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def shades(width: int = 40, height: int = 30) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 6, y * 8, x + y], -1).astype(np.uint8))


def pixels(data: bytes) -> NDArray[np.uint8]:
    return decoded(convert(data)[0])


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_picture_of_the_folder_is_read_back(width: int, height: int, seed: int) -> None:
    shown = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert (decoded(encoded(shown)) == shown).all()
    assert size_of(encoded(shown)) == (width, height)
    with Image.open(io.BytesIO(encoded(shown))) as image:
        assert (np.asarray(image) == shown).all(), "other programs read it, too"


@given(st.data())
def test_a_damaged_file_of_the_folder_is_refused(data: st.DataObject) -> None:
    whole = encoded(np.asarray(shades(5, 4)))
    place = data.draw(st.integers(0, len(whole) - 17).filter(lambda place: not 8 <= place < 16 and not 29 <= place < 33))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="PNG"):
        decoded(bytes(damaged))
    with pytest.raises(ValueError, match="PNG"):
        decoded(whole[:place])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_usual_formats_are_taken_whatever_their_name_says(form: str) -> None:
    difference = np.abs(pixels(saved(shades(), form)).astype(int) - np.asarray(shades()).astype(int))
    assert difference.mean() < 8


def test_pictures_are_made_plain() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    assert pixels(saved(shades(40, 30), "JPEG", exif=turned)).shape == (40, 30, 3), "turned as its EXIF says"
    assert pixels(saved(shades().convert("CMYK"), "JPEG")).shape == (30, 40, 3)
    assert (pixels(saved(Image.new("RGBA", (3, 2), (0, 0, 0, 0)), "PNG")) == 255).all(), "on white where it is transparent"
    deep = Image.fromarray(np.full((2, 2), 32768, np.uint16))
    assert abs(int(pixels(saved(deep, "PNG"))[0, 0, 0]) - 127) < 2, "shades of 16 bits"
    assert pixels(saved(Image.new("1", (9, 9), 1), "PNG")).mean() == 255
    assert pixels(saved(Image.new("RGB", (4100, 1000)), "PNG")).shape == (500, 2048, 3)
    frames = [Image.new("L", (5, 5), shade) for shade in (10, 20, 30)]
    png, count = convert(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert (count, decoded(png)[0, 0, 0]) == (3, 10)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (saved(shades(), "PNG")[:70], "damaged"),
        (saved(shades(), "JPEG")[:300], "damaged"),
        (b"PK\x03\x04" + bytes(100), "not a picture"),
        (saved(Image.new("1", (20_000, 20_000)), "PNG"), "20,000 × 20,000"),
        (saved(Image.new("1", (1_000, 9)), "PNG"), "over 100 times"),
        (saved(shades(), "PDF"), "not a picture"),
    ],
)
def test_what_can_not_be_taken_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        take(data, "x.png")
    assert caught.value.title == "x.png can't be attached"


def test_a_picture_is_kept_once_and_for_its_owner_only() -> None:
    first, second = take(saved(shades(), "PNG"), "a/b [1].png"), take(saved(shades(), "BMP"), "c.bmp")
    assert first.digest == second.digest
    path = file_of(first.digest)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(first) == f"[picture a/b 1.png, 40×30, {first.digest}]"
    found = pixels_of(first)
    assert found is not None
    assert (found == np.asarray(shades())).all()
    assert [one for _, _, one in pictures_in(f"Look: {first}{second} [picture x, 1×1, zz]")] == [first, second]
    path.write_bytes(encoded(np.asarray(shades(3, 3))))
    assert pixels_of(first) is None, "it is not what the digest says"
    assert pixels_of(Picture("x", 1, 1, "0" * 24)) is None


def test_pictures_that_no_message_names_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, lost = take(saved(shades(), "PNG"), "a.png"), take(saved(shades(8, 8), "PNG"), "b.png")
    assert remove_unused([f"x {kept}"]) == 0, "new ones may belong to a message that is not sent yet"
    monkeypatch.setattr("engine.pictures.stored.NEW_S", -1)
    assert remove_unused([f"x {kept}"]) == 1
    assert (file_of(kept.digest).exists(), file_of(lost.digest).exists()) == (True, False)


def test_a_message_takes_pictures_and_is_edited_without_them(tmp_path: Path) -> None:
    (tmp_path / "shot one.PNG").write_bytes(saved(shades(), "JPEG"))
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "bad.gif").write_bytes(b"GIF89a nonsense")
    attached = attach('Look at @"shot one.PNG" and @a.py', tmp_path)
    assert [picture.name for _, _, picture in pictures_in(attached.whole)] == ["shot one.PNG"]
    assert detached(attached.whole) == attached.text
    assert "bad.gif can't be attached" in attach("@bad.gif", tmp_path).left_out[0]


@pytest.mark.parametrize("write", [str, lambda path: f"'{path}'", lambda path: str(path).replace(" ", "\\ "), lambda path: path.as_uri()])
def test_the_path_of_a_picture_that_is_pasted_is_attached(tmp_path: Path, write: Callable[[Path], str]) -> None:
    path = tmp_path / ("a b.png" if write is not str else "ab.png")
    path.write_bytes(b"")
    assert dropped(f"{write(path)}\n") == (f"@{path}" if write is str else f'@"{path}"')
    assert dropped(f"see {write(path)}") is None
    assert dropped(write(path.with_suffix(".txt"))) is None
    path.unlink()
    assert dropped(write(path)) is None


def test_a_machine_without_pillow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.child.command", lambda *_: ["sh", "-c", f"exit {converting.MISSING}"])
    with pytest.raises(UsageError, match=r"xchat-llama\[pictures\]"):
        take(b"x", "x.png")
