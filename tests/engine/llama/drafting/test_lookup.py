"""Tokens are guessed where text repeats itself, and checked where that is likely to save time."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest

from engine.backend import EngineInfo, StopReason, TokensDecoded
from engine.clock import NS_PER_MS
from engine.llama.drafting.lookup import KEY, NO_GUESS, Guess, Lookup, expected
from engine.llama.planning import MOST_GUESSED, Speeds, Work, plan
from engine.logprobs import PromptScored
from engine.messages import Constraint, ConstraintKind
from engine.presets.preset import Sampling
from tests.engine.llama.driver import SMALL, WORDS, Driver, token_prompt

Load = Callable[..., EngineInfo]
PHRASE = list(range(40, 60))


def test_what_followed_the_last_tokens_before_is_guessed() -> None:
    assert list(Lookup().guess([*PHRASE, 7, *PHRASE[:10]], 4).tokens) == PHRASE[10:14]
    assert Lookup().guess([*PHRASE, 7, *PHRASE[: KEY - 1]], 4) == NO_GUESS
    assert Lookup().guess([*PHRASE, 7, *PHRASE[:10]], 0) == NO_GUESS
    newest = Lookup().guess([*PHRASE, 7, *PHRASE[:10], 8, *PHRASE[:10]], 2)
    assert list(newest.tokens) == [8, *PHRASE[:1]]


def test_a_text_that_goes_round_is_guessed_round() -> None:
    assert list(Lookup().guess([1, 2, 3] * 5, 7).tokens) == [1, 2, 3, 1, 2, 3, 1]


def test_the_map_follows_a_growing_text() -> None:
    lookup, text = Lookup(), [*PHRASE, 7]
    for token in PHRASE[:KEY]:
        assert lookup.guess(text, 3) == NO_GUESS
        text.append(token)
    assert list(lookup.guess(text, 3).tokens) == PHRASE[KEY : KEY + 3]


def test_a_longer_repetition_and_luck_raise_the_chance_and_wrong_guesses_lower_it() -> None:
    short, long = ([*PHRASE, 7, *PHRASE[:length]] for length in (KEY, 2 * KEY))
    assert Lookup().guess(short, 1).chance < Lookup().guess(long, 1).chance < 1
    lucky, unlucky = Lookup(), Lookup()
    for _ in range(4):
        lucky.checked(15, 15)
        unlucky.checked(3, 0)
    assert unlucky.guess(long, 1).chance < Lookup().guess(long, 1).chance < lucky.guess(short, 1).chance
    assert expected(Guess([1, 2, 3], 0.5), 3) == pytest.approx(0.875)
    assert expected(Guess([1, 2, 3], 1.0), 3) == 3


def speeds(*, steps: dict[int, float], checks: dict[int, float]) -> Speeds:
    known = Speeds(n_layer=4)
    known.measured(256, 1, int(800 * NS_PER_MS))
    for answers, took in steps.items():
        known.measured(answers, answers, int(took * NS_PER_MS))
    for width, took in checks.items():
        known.measured(width, 1, int(took * NS_PER_MS), outputs=width)
    return known


def answering(seq: int, guess: Guess = NO_GUESS) -> Work:
    return Work(seq, 99, range(100), guess=guess)


SURE, DOUBTFUL = Guess(range(MOST_GUESSED), 0.98), Guess(range(MOST_GUESSED), 0.5)
TILED = {4: 97.0, 8: 201.0, 12: 251.0, 16: 254.0, 32: 462.0}
"""A K-quant's call by its width in ms, where one token takes 26."""


@pytest.mark.parametrize(("guess", "checks", "width"), [(SURE, TILED, 16), (DOUBTFUL, TILED, 1), (DOUBTFUL, {4: 30.0, 8: 60.0}, 4)])
def test_as_many_are_checked_as_the_measured_curve_makes_worth_it(guess: Guess, checks: dict[int, float], width: int) -> None:
    (part,) = plan([answering(0, guess)], speeds(steps={1: 26.0}, checks={32: 462.0, **checks}), 512)
    assert (len(part.tokens), part.guessed, part.outputs, part.wants_logits) == (width, width - 1, width, True)


def test_nothing_is_guessed_beside_a_prompt() -> None:
    parts = plan([answering(0, SURE), Work(1, 0, range(50))], speeds(steps={1: 26.0, 2: 30.0}, checks=TILED), 512)
    assert [part.guessed for part in parts] == [0, 0]


def test_several_answers_share_the_rows_and_the_likeliest_guess_goes_first() -> None:
    works = [answering(0, Guess(range(40), 0.9)), answering(1, SURE), answering(2)]
    parts = plan(works, speeds(steps={1: 26.0, 3: 30.0}, checks=dict.fromkeys((4, 8, 12, 16, 32), 31.0)), 512)
    assert [part.guessed for part in parts][1] == MOST_GUESSED - 2
    assert sum(part.guessed for part in parts) <= MOST_GUESSED
    assert sum(part.outputs for part in parts) <= 3 + MOST_GUESSED


def test_calls_that_check_do_not_count_for_prompts_or_plain_steps() -> None:
    known = speeds(steps={1: 26.0}, checks={})
    before = known.chunk(512), known.step_ns(1)
    known.measured(16, 1, int(2_000 * NS_PER_MS), outputs=16)
    assert (known.chunk(512), known.step_ns(1)) == before


@pytest.fixture
def prophet(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[int, ...], list[int]]:
    """By the prompt: the tokens that are guessed for its answer, each fifth one wrong; every guess is checked, whatever it costs."""
    known: dict[tuple[int, ...], list[int]] = {}

    def guess(_: Lookup, tokens: list[int], most: int) -> Guess:
        prompt = next((prompt for prompt in known if tuple(tokens[: len(prompt)]) == prompt), ())
        told = [token + (at % 5 == 4) for at, token in enumerate(known.get(prompt, []))]
        return Guess(told[len(tokens) - len(prompt) :][: min(most, 7)], 0.9)

    monkeypatch.setattr(Lookup, "guess", guess)
    monkeypatch.setattr(Speeds, "worth_checking", lambda _, _answers, _width, made, guess: (len(guess.tokens), made + 1))
    return known


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.5])
def test_the_same_seed_gives_the_same_tokens_with_and_without_guesses(
    load: Load, driver: Driver, prophet: dict[tuple[int, ...], list[int]], temperature: float
) -> None:
    """So the distribution of answers is the same; the last digits of logits depend on the width of a call, so that one may differ."""
    different, drafted, came = 0, 0, 0
    for seed in range(20):
        prompt, sampling = [60 + seed, *WORDS[:30]], Sampling(temperature=temperature, seed=seed)
        load("dense", msgspec.structs.replace(SMALL, lookup="off"))
        plain = driver.ask(token_prompt(prompt), sampling=sampling, max_tokens=24)
        prophet[tuple(prompt)] = plain.tokens
        load("dense", SMALL)
        guessed = driver.ask(token_prompt(prompt), sampling=sampling, max_tokens=24)
        different += plain.tokens != guessed.tokens
        drafted += guessed.finished.timings.draft_n
        came += guessed.finished.timings.draft_n_accepted
        assert plain.finished.timings.draft_n == 0
        assert list(guessed.finished.token_ns) == sorted(guessed.finished.token_ns)
    assert different <= 2
    assert drafted // 4 < came < drafted


def test_the_cache_holds_what_was_said_and_no_guess(load: Load, driver: Driver, prophet: dict[tuple[int, ...], list[int]]) -> None:
    load("dense")
    prompt = WORDS[:40]
    plain = driver.ask(token_prompt(prompt), max_tokens=24)
    prophet[tuple(prompt)] = [*plain.tokens, 1, 2, 3]
    first = driver.ask(token_prompt(prompt), max_tokens=24)
    assert (first.finished.timings.draft_n_accepted > 5, first.tokens) == (True, plain.tokens)
    later = [*prompt, *first.tokens, 50, 51]
    prophet.clear()
    reused = driver.ask(token_prompt(later), max_tokens=12)
    assert reused.ready.cache_n == len(prompt) + len(first.tokens) - 1
    load("recurrent")
    load("dense")
    assert driver.ask(token_prompt(later), max_tokens=12).tokens == reused.tokens


def test_a_form_and_a_stop_string_hold_within_guesses(load: Load, driver: Driver, prophet: dict[tuple[int, ...], list[int]]) -> None:
    load("dense")
    prompt = WORDS[:40]
    prophet[tuple(prompt)] = [*b"abcabcabcabcabc"]
    constraint = Constraint(ConstraintKind.REGEX, "(abc){3}")
    answer = driver.ask(token_prompt(prompt), constraint=constraint)
    assert (answer.text, answer.finished.reason) == ("abcabcabc", StopReason.EOG)
    assert answer.finished.timings.draft_n_accepted
    cut = driver.ask(token_prompt(prompt), constraint=constraint, stop=["cab"])
    assert (cut.text, cut.finished.reason) == ("ab", StopReason.STOP_STRING)
    again = driver.ask(token_prompt(prompt), constraint=constraint, max_tokens=4)
    assert (again.text, again.finished.reason) == ("abca", StopReason.LENGTH)


def test_the_prompt_is_scored_as_the_answer_was(load: Load, driver: Driver) -> None:
    load("dense")
    prompt = WORDS[:100]
    answer = driver.ask(token_prompt(prompt), max_tokens=9, logprobs=2)
    said = [each for chunk in answer.all(TokensDecoded) for each in chunk.logprobs]
    scored = driver.ask(token_prompt([*prompt, *answer.tokens]), max_tokens=1, logprobs=2, prompt_logprobs=True)
    (event,) = scored.all(PromptScored)
    assert (event.first, len(event.logprobs), scored.ready.cache_n) == (prompt[0], len(prompt) + 8, 0)
    assert [each.chosen.token for each in event.logprobs] == [*prompt[1:], *answer.tokens]
    for ours, theirs in zip(said, event.logprobs[-9:], strict=True):
        assert math.isclose(ours.chosen.logprob, theirs.chosen.logprob, abs_tol=0.02)
        assert [each.token for each in ours.top] == [each.token for each in theirs.top]
