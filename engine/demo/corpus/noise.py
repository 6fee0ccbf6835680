"""How people really type: no capitals, no punctuation, typos, a hello in front, only the words that matter."""

from __future__ import annotations

from random import Random

BEFORE = (
    "hi, ",
    "hello, ",
    "hey, ",
    "please ",
    "um, ",
    "so, ",
    "ok, ",
    "quick question: ",
    "question: ",
    "well, ",
    "hey guide, ",
    "i was wondering, ",
    "tell me, ",
    "now, ",
    "and ",
    "one more: ",
    "i need to know: ",
    "a question: ",
    "by the way, ",
    "sorry, ",
    "say, ",
    "do you know ",
    "can you tell me ",
    "hi! ",
    "guide: ",
    "in xchat, ",
    "alright, ",
    "also, ",
)
AFTER = (
    " please",
    ", please",
    " thanks",
    " thank you",
    " in xchat",
    " here",
    " now",
    " exactly",
    " again",
    " in short",
    ", please?",
    " then",
    "??",
    "...",
    " :)",
    " pls",
    "!",
    " on my machine",
    " for me",
    " briefly",
)
DROPPED = frozenset("a an the is are do does i you me my it to of in on can could how what for please that this be with".split())
FILLERS = (
    "xchat",
    "help",
    "please",
    "how",
    "what",
    "key",
    "info",
    "question",
    "about",
    "do",
    "explain",
    "again",
    "really",
    "just",
    "actually",
    "exactly",
    "simply",
)
CONTRACTIONS = (
    ("what is", "what's"),
    ("what is", "whats"),
    ("how do i", "how do u"),
    ("do not", "dont"),
    ("i am", "im"),
    ("you", "u"),
    ("please", "pls"),
    ("are", "r"),
    ("because", "cuz"),
    ("want to", "wanna"),
    ("the ", ""),
    ("what's", "wat is"),
)
_NEIGHBOURS = {
    "a": "s",
    "b": "v",
    "c": "x",
    "d": "f",
    "e": "r",
    "f": "g",
    "g": "h",
    "h": "j",
    "i": "o",
    "k": "l",
    "l": "k",
    "m": "n",
    "n": "m",
    "o": "p",
    "p": "o",
    "r": "t",
    "s": "d",
    "t": "y",
    "u": "i",
    "v": "b",
    "w": "e",
    "y": "u",
}


def typed(rng: Random, text: str, *, soup: bool = True) -> str:
    """The question as one person might type it. `soup` allows to keep only its main words, in any order."""
    roll = rng.random()
    if roll < 0.22:
        return text[0].upper() + text[1:] if text[:1].islower() and rng.random() < 0.7 else text
    if soup and roll < 0.34 and text.count(" ") >= 2:
        return _soup(rng, text)
    if rng.random() < 0.16 and text.count(" ") < 14:
        text = rng.choice(BEFORE) + text
    if rng.random() < 0.12:
        text = text.rstrip("?.! ") + rng.choice(AFTER)
    if rng.random() < 0.15:
        old, new = rng.choice(CONTRACTIONS)
        text = text.replace(old, new, 1)
    if rng.random() < 0.10:
        text = _without_small_words(rng, text)
    if rng.random() < 0.16:
        text = _typo(rng, text)
    case = rng.random()
    if case < 0.45:
        text = text.lower()
    elif case < 0.49:
        text = text.upper()
    elif case < 0.80:
        text = text[:1].upper() + text[1:]
    end = rng.random()
    if end < 0.35:
        text = text.rstrip("?.!")
    elif end < 0.50 and not text.endswith(("?", ".", "!")):
        text += "?"
    return text.strip() or "?"


def _soup(rng: Random, text: str) -> str:
    """The main words, perhaps in another order, perhaps with a filler among them."""
    words = [word for word in text.rstrip("?.!").split() if word.lower() not in DROPPED] or text.split()
    if rng.random() < 0.4:
        rng.shuffle(words)
    if rng.random() < 0.5:
        words.insert(rng.randint(0, len(words)), rng.choice(FILLERS))
    result = " ".join(words)
    return result.lower() if rng.random() < 0.7 else result


def _without_small_words(rng: Random, text: str) -> str:
    kept = [word for word in text.split() if word.lower() not in DROPPED or rng.random() < 0.5]
    return " ".join(kept) or text


def _typo(rng: Random, text: str) -> str:
    """One slip in one longer word; words with digits, keys and commands are left alone."""
    words = text.split(" ")
    candidates = [index for index, word in enumerate(words) if len(word) > 3 and word.isalpha() and word.isascii()]
    if not candidates:
        return text
    index = rng.choice(candidates)
    word = words[index]
    at = rng.randint(1, len(word) - 2)
    slip = rng.random()
    if slip < 0.35:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif slip < 0.65:
        word = word[:at] + word[at + 1 :]
    elif slip < 0.8:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + _NEIGHBOURS.get(word[at].lower(), "e") + word[at + 1 :]
    words[index] = word
    return " ".join(words)
