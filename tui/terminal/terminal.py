"""Properties of the terminal that must be known before Textual is imported, since it reads them at import.

Imports neither Textual nor Rich.
"""

from __future__ import annotations

import codecs
import locale
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Literal

from engine.errors import UsageError

ColourDepth = Literal["16", "256", "truecolor"]

_TEXTUAL_NAMES: dict[ColourDepth, str] = {"16": "standard", "256": "256", "truecolor": "truecolor"}
_SIXTEEN = frozenset({"linux", "vt100", "vt102", "vt220", "ansi", "cygwin", "rxvt", "xterm-16color", "screen.linux"})
_REMOTE_SETTINGS = {"TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0", "ESCDELAY": "200"}
"""For connections with latency: no animation, and time for escape sequences that arrive in two pieces."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Properties of the terminal, from its environment."""

    depth: ColourDepth
    remote: bool
    """Whether it is reached through SSH or mosh."""
    tmux: bool
    no_color: bool
    """Whether `NO_COLOR` is set: use bold, underline and reverse."""
    unicode: bool
    """Whether box drawing and symbols may be used; otherwise ASCII."""
    braille: bool
    """Whether the terminal's font probably has braille patterns."""


def colour_depth(environ: MutableMapping[str, str]) -> ColourDepth:
    """Return the colour depth to send; full depth inside tmux, which converts by itself."""
    if environ.get("COLORTERM", "").lower() in {"truecolor", "24bit"}:
        return "truecolor"
    term = environ.get("TERM", "").lower()
    if environ.get("TMUX") or term.endswith(("-direct", "-truecolor")) or term in {"xterm-kitty", "xterm-ghostty", "alacritty", "foot"}:
        return "truecolor"
    if "256color" in term or term in {"screen", "xterm", "tmux"}:
        return "256"
    return "16" if term in _SIXTEEN or term.endswith("-16color") else "256"


def encoding_of_locale() -> str:
    """Return the locale's character encoding, under Python's name."""
    try:
        return codecs.lookup(locale.getencoding()).name
    except LookupError:
        return "ascii"


def read_terminal(environ: MutableMapping[str, str], *, encoding: str | None = None) -> Terminal:
    """Read the properties of the terminal from the environment.

    Raises:
        UsageError: `TERM` names a terminal without cursor movement.

    """
    term = environ.get("TERM", "")
    if term in {"dumb", "emacs"}:
        raise UsageError(
            f"This terminal (TERM={term}) can't show a full screen",
            "xchat draws on the whole screen",
            "Use `xchat ask PROMPT`, or set TERM, for example TERM=xterm-256color.",
        )
    unicode = (encoding or encoding_of_locale()) == "utf-8"
    return Terminal(
        depth=colour_depth(environ),
        remote=bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY") or environ.get("MOSH_CONNECTION")),
        tmux=bool(environ.get("TMUX")),
        no_color="NO_COLOR" in environ,
        unicode=unicode,
        braille=unicode and term not in _SIXTEEN,
    )


def prepare_environment(environ: MutableMapping[str, str], *, low_bandwidth: bool = False, encoding: str | None = None) -> Terminal:
    """Read the terminal and set the variables that Textual reads at import, keeping those already set.

    Raises:
        UsageError: As `read_terminal`.

    """
    terminal = read_terminal(environ, encoding=encoding)
    if not environ.get("TERM"):
        environ["TERM"] = "xterm"
    environ.setdefault("TEXTUAL_COLOR_SYSTEM", _TEXTUAL_NAMES[terminal.depth])
    if terminal.remote or low_bandwidth:
        for name, value in _REMOTE_SETTINGS.items():
            environ.setdefault(name, value)
    return terminal
