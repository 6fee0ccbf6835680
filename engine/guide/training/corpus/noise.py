"""How people really type: no punctuation, typos, a hello in front, only the words that matter."""

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
GENERIC = tuple(
    """a about actually again all also always an and another any anybody anyone anything are around as ask at away be because been before best better between big but by call called can care clear clarify close come
    could curious day deal describe detail did different difficult do does doing done down each easy else enough even ever every exactly explain fact far feel few figure find fine first follow for from full get
    give go going good got great had half happen happens hard has have having hear heard help here hold hope how however i idea if important in inside instead into is issue it its just keep kind know known last
    learn least less let like little long look lot made main make makes manage many matter may me mean means might mind missing moment more most much must my name need never new next nice no normal not nothing
    now of off often ok old on once one only open opinion or other our out over own part people perhaps person place plain please point possible prefer probably problem purpose put question quick quite rather
    really reason right role said same saw say see seem seems sense set shall should show simple simply small so some somebody somehow someone something sometimes somewhere soon sort special start step still
    strange such suggest suppose sure take talk tell than that the their them then there these they thing things think this those though thought through time tip to today together told too tried trouble true
    try trying two under understand until up use used useful using usual very want wanted was way we well went were what when where whether which while who whole why will wish with without wonder wondering word
    words work working world would wrong yes yet you your""".split()
)
"""Words that may stand around any question without changing what it is about."""
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
    """The question as one person might type it. `soup` allows to keep only its main words, in any order.

    Capitals are not written: the guide's template takes them away.
    """
    roll = rng.random()
    if roll < 0.22:
        return text
    if soup and roll < 0.48:
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
    end = rng.random()
    if end < 0.35:
        text = text.rstrip("?.!")
    elif end < 0.50 and not text.endswith(("?", ".", "!")):
        text += "?"
    return text.strip() or "?"


def _soup(rng: Random, text: str) -> str:
    """The main words, perhaps in another order, perhaps with words around them that say nothing."""
    words = [word for word in text.rstrip("?.!").split() if word.lower() not in DROPPED] or text.split()
    roll = rng.random()
    if roll < 0.2:
        rng.shuffle(words)
    if roll < 0.35 and len(words) > 3:
        words.pop(rng.randrange(len(words)))
    elif rng.random() < 0.75:
        words = text.rstrip("?.!").split() if rng.random() < 0.5 else words
        words = [rng.choice(GENERIC) for _ in range(rng.randint(0, 5))] + words + [rng.choice(GENERIC) for _ in range(rng.randint(0, 4))]
    else:
        words.insert(rng.randint(0, len(words)), rng.choice(FILLERS))
    result = " ".join(words)
    return f"{result}?" if rng.random() < 0.3 else result


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
