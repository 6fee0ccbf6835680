"""A child process that decodes a picture from its input into a PNG of the folder; its memory and CPU time are limited."""

from __future__ import annotations

import io
import resource
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""The only formats that Pillow may decode, whatever the file's name."""
MOST_PIXELS: Final = 50_000_000
MOST_RATIO: Final = 100
"""Ratio of the longer side to the shorter."""
MEMORY_BYTES: Final = 2 << 30
CPU_S: Final = 30
MISSING: Final = 3
"""Exit status without Pillow."""


def convert(data: bytes) -> tuple[bytes, int]:
    """Return a picture as a PNG of the folder, and the number of its frames, of which this is the first.

    It is rotated by its EXIF data, put on white where transparent, and scaled down where large.

    Raises ValueError when it is too large or too long, and Pillow's errors when it can't be decoded.
    """
    import numpy as np
    from PIL import Image, ImageOps

    from engine.pictures.png import LONGEST_SIDE, encoded

    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # checked here, before a pixel is decoded
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        width, height = opened.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"It has {width:,} × {height:,} pixels, and {MOST_PIXELS:,} are the most")
        if max(width, height) > MOST_RATIO * min(width, height):
            raise ValueError(f"It has {width:,} × {height:,} pixels: one side is over {MOST_RATIO} times as long as the other")
        frames = int(getattr(opened, "n_frames", 1))
        opened.seek(0)
        opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
        picture = ImageOps.exif_transpose(_eight_bits(opened))
    if picture.has_transparency_data:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    picture = picture.convert("RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return encoded(np.asarray(picture)), frames


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Return shades of more than eight bits, which Pillow would clip, scaled to eight."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    import numpy as np
    from PIL import Image

    shades = np.asarray(picture).astype(np.float64)
    low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (shades.min(), shades.max())
    return Image.fromarray(((shades - low) * (255.0 / max(high - low, 1e-9))).astype(np.uint8))


def main() -> None:
    """Write the picture to standard output, and to standard error the number of frames of an animated one, or the reason of a failure."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    try:
        png, frames = convert(sys.stdin.buffer.read())
    except ImportError:
        sys.exit(MISSING)
    except Exception as error:  # noqa: BLE001 - whatever a damaged picture makes a library raise is its reason
        known = str(error) if type(error) is ValueError else "It is damaged, or not a picture that can be read"
        sys.stderr.write(known)
        sys.exit(1)
    sys.stdout.buffer.write(png)
    sys.stderr.write(str(frames))


if __name__ == "__main__":
    main()
