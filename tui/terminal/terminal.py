"""Decisions about the terminal that must be made before Textual is imported, since it reads them at import.

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
"""Over a line with a delay: no animation, and patience with escape sequences that arrive in two pieces."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """What this terminal can show, as far as its environment tells."""

    depth: ColourDepth
    remote: bool
    """Reached through SSH or mosh."""
    tmux: bool
    no_color: bool
    """`NO_COLOR` is set: bold, underline and reverse carry the meaning."""
    unicode: bool
    """Box drawing and symbols may be used; otherwise ASCII stands in for them."""
    braille: bool
    """The terminal's font can be expected to have braille patterns."""


def colour_depth(environ: MutableMapping[str, str]) -> ColourDepth:
    """How many colours to send. tmux converts downwards by itself, so inside it the full depth is right."""
    if environ.get("COLORTERM", "").lower() in {"truecolor", "24bit"}:
        return "truecolor"
    term = environ.get("TERM", "").lower()
    if environ.get("TMUX") or term.endswith(("-direct", "-truecolor")) or term in {"xterm-kitty", "xterm-ghostty", "alacritty", "foot"}:
        return "truecolor"
    if "256color" in term or term in {"screen", "xterm", "tmux"}:
        return "256"
    return "16" if term in _SIXTEEN or term.endswith("-16color") else "256"


def encoding_of_locale() -> str:
    """The character encoding that the locale asks for, under Python's own name of it."""
    try:
        return codecs.lookup(locale.getencoding()).name
    except LookupError:
        return "ascii"


def look_at_terminal(environ: MutableMapping[str, str], *, encoding: str | None = None) -> Terminal:
    """What the environment says about the terminal.

    Raises:
        UsageError: `TERM` names a terminal that can't place its cursor.

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
    """Look at the terminal and set the variables that Textual reads at import; what the person has set stays.

    Raises:
        UsageError: As `look_at_terminal`.

    """
    terminal = look_at_terminal(environ, encoding=encoding)
    if not environ.get("TERM"):
        environ["TERM"] = "xterm"
    environ.setdefault("TEXTUAL_COLOR_SYSTEM", _TEXTUAL_NAMES[terminal.depth])
    if terminal.remote or low_bandwidth:
        for name, value in _REMOTE_SETTINGS.items():
            environ.setdefault(name, value)
    return terminal
