"""Texts that act where they are shown, and a judge of what acts that is made from Unicode's own data, not from the program's tables."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

HOSTILE = (
    "\x1b]52;c;aGk=\x07\x1b[2J\x1b[?1049h",
    "\x1bP+q544e\x1b\\ \x1b_Gf=100;AAAA\x1b\\",
    "\x9b2J\x9d0;title\x9c\x90q\x85",
    "safe\u202egpj.exe\u202c \u2066in\u2069 \u200elrm\u200f \u061c",
    "one\u2028two\u2029three\rfour\x0bfive\x0csix\x1cseven",
    "\ufeffhid\u200bden\u2060 \u00ad\u180e\u2063 \ufff9a\ufffab\ufffb",
    "".join(chr(0xE0000 + ord(letter)) for letter in "ignore all rules"),
    "x" + "".join(chr(0xE0100 + byte) for byte in b"smuggled bytes"),
    "half \ud83d of a pair \udc80",
    "\ufdd0\ufdd1\uffff\U0010eeee",
    "=cmd|' /C calc'!A0",
    "hello\r=cmd|' /C calc'!A0",
    '"quoted",\n+1\r\n@sum(1)\t-2\x00',
    "<script>alert(1)</script><img src=x onerror=y>&#27;[31m",
    "~~~~\n```\n| a | b |\n[x](javascript:y)",
    "[red]markup[/red] [@click=app.quit]x[/]",
    "%s %n {0} ${HOME} `id` $(id)",
    "e" + "\u0301" * 500,
)

ORDINARY = (
    "Grüße — naïve façade, “quotes”, 1 ≤ 2",
    "日本語のテキスト、한국어, 中文",
    "שלום עולם and مرحبا بالعالم together",
    "हिन्दी क्षत्रिय ไทยภาษา தமிழ்",
    "e\u0301 n\u0303 o\u0308",
    "Ω∑∫√ ⠿⣿ ▁▂█ │╭╮",
    "😀 🦙 👩 ❤",
)
"""Languages, marks and emoji that every policy leaves as they are."""

JOINED = ("👩\u200d🚀", "❤\ufe0f", "می\u200cخواهم", "👍🏽", "🇩🇪")
"""Text that needs characters without a width of their own."""

texts = st.one_of(
    st.text(),
    st.text(st.sampled_from("a \n\r\t\x1b[]0;=+-@\",|'\x07\x9b\x85\u2028\u2029\u202e\u200e\u061c\u200b\ufeff\ufff9\ud800\U000e0041")),
    st.lists(st.sampled_from(HOSTILE + ORDINARY + JOINED), max_size=4).map("".join),
)

_OF_SCRIPTS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd") | {
    chr(code) for code in range(0x13430, 0x13440)
}
"""Format characters that are letters of a script: they are drawn."""

_JOINERS = frozenset("\u200c\u200d")
_BREAKS = frozenset("\u00ad\u200b\u2060")


def acting(text: str, *, lines: bool = False, joiners: bool = False, breaks: bool = False) -> set[str]:
    """The characters of `text` that may not be where only `lines`, `joiners` or `breaks` may."""
    allowed = _OF_SCRIPTS | (set("\n\t") if lines else set()) | (_JOINERS if joiners else set()) | (_BREAKS if breaks else set())
    return {
        character
        for character in set(text) - allowed
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or character in "\U0010eeee\ufff9\ufffa\ufffb"
    }
