"""Counting, spelling and reversing: small games with exact answers."""

from __future__ import annotations

from random import Random

from engine.guide.training.corpus.grammar import expand

WORDS = tuple(
    """cat dog sun moon tree book lamp fish bird ship star rain snow wind fire rock sand leaf seed root door wall roof road city king ring song word
    token model cache quant prompt batch thread engine screen panel theme light night river stone cloud paper table chair house mouse horse apple
    bread water green black white happy music dance smile dream ocean beach tower castle bridge garden flower forest winter summer spring autumn
    silver golden copper yellow orange purple monday sunday friday july march april hello world python linux xchat guide little letter
    butter kitchen window market island planet dragon rabbit spider tiger zebra lemon cherry banana""".split()
)
"""Words to spell and reverse; a small model learns the letters of each by heart."""

MOST = 30
"""The guide counts to this by itself."""
NUMBER_WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()


def game(rng: Random) -> tuple[str, str]:
    """A question and its exact answer."""
    return rng.choices((_count, _count_range, _spell, _reverse, _alphabet), (4, 2, 4, 3, 1))[0](rng)


def _numbers(numbers: range) -> str:
    return ", ".join(str(number) for number in numbers) + "."


def _count(rng: Random) -> tuple[str, str]:
    end = rng.choice((3, 5, 10, 10, 12, 15, 20, 20, 25, 30)) if rng.random() < 0.5 else rng.randint(2, MOST)
    spoken = NUMBER_WORDS[end - 1] if end <= 20 and rng.random() < 0.4 else str(end)
    question = expand(
        "{count to $n|please count to $n|can you count to $n|count up to $n|count from 1 to $n|count from one to $n|numbers from 1 to $n|count till $n"
        "|the numbers up to $n|start counting and end at $n|give me the numbers from one to $n|{one|1} to $n please|numbers until $n"
        "|{let us|let's} count to $n|i want you to count to $n|count{,| please,} {up |}to $n|list {all |the |}numbers to $n}",
        rng,
        {"n": spoken},
    )
    if rng.random() < 0.25:
        question = expand("{count down from $n|count backwards from $n|a countdown from $n}", rng, {"n": spoken})
        return question, _numbers(range(end, 0, -1))
    return question, _numbers(range(1, end + 1))


def _count_range(rng: Random) -> tuple[str, str]:
    start = rng.randint(1, MOST)
    end = start + rng.randint(2, 12)
    return expand(
        "{count from $a to $b|list the numbers from $a to $b|numbers from $a to $b|count $a to $b}", rng, {"a": str(start), "b": str(end)}
    ), _numbers(range(start, end + 1))


def _spell(rng: Random) -> tuple[str, str]:
    word = rng.choice(WORDS)
    question = expand(
        "{spell $w|spell the word $w|how do you spell $w|can you spell $w|please spell $w|spell out $w|what are the letters of $w"
        "|the letters of {the word |}$w|$w, one letter at a time|spelling of $w|how is $w spelled|spell me $w|spell: $w"
        "|{which|what} letters {are in|does one need for|make up} $w|{break|split} $w into {its |}letters|$w in {single |}letters}",
        rng,
        {"w": rng.choice((word, f'"{word}"', f"'{word}'", word))},
    )
    return question, "-".join(word.upper()) + "."


def _reverse(rng: Random) -> tuple[str, str]:
    word = rng.choice([word for word in WORDS if len(word) <= 6])
    question = expand(
        "{reverse $w|reverse the word $w|spell $w backwards|write $w backwards|what is $w backwards|$w backwards|say $w in reverse|$w in reverse"
        "|flip $w|$w the other way round|mirror {the word |}$w|{read|type|say} $w from {back|end} to {front|start}|$w reversed|reversed $w"
        "|the reverse of {the word |}$w|put the letters of $w in reverse order|$w from the {back|end}}",
        rng,
        {"w": rng.choice((word, f'"{word}"', word))},
    )
    backwards = word[::-1]
    return question, f"{'-'.join(backwards.upper())}: {backwards}."


def _alphabet(rng: Random) -> tuple[str, str]:
    question = expand(
        "{say the alphabet|what is the alphabet|the alphabet please|recite the alphabet|list the letters of the alphabet|abc}", rng
    )
    return question, "A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z."
