"""A child process that reads a picture from its input and writes it as a PNG of the folder; its memory and CPU time are limited."""

from __future__ import annotations

import io
import resource
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What Pillow may take a picture for, whatever the name of its file says."""
MOST_PIXELS: Final = 50_000_000
MOST_RATIO: Final = 100
"""Of the longer side to the shorter."""
MEMORY_BYTES: Final = 2 << 30
CPU_S: Final = 30
MISSING: Final = 3
"""Status of the process without Pillow."""


def convert(data: bytes) -> tuple[bytes, int]:
    """A picture as a PNG of the folder, and of how many it is the first.

    It is turned as its EXIF data says, put on white where it is transparent, and made smaller where it is large.

    Raises ValueError for one that is too large or too long, and whatever Pillow does for one that it can't read.
    """
    import numpy as np
    from PIL import Image, ImageOps

    from engine.pictures.png import LONGEST_SIDE, encoded

    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # judged here, before a pixel is read
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
    """Shades of more than eight bits, which Pillow would cut off, as shades of eight."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    import numpy as np
    from PIL import Image

    shades = np.asarray(picture).astype(np.float64)
    low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (shades.min(), shades.max())
    return Image.fromarray(((shades - low) * (255.0 / max(high - low, 1e-9))).astype(np.uint8))


def main() -> None:
    """Write the picture on standard output, and on standard error the number of frames of an animated one, or the reason."""
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
