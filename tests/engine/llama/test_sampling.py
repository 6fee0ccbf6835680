"""Each sampling setting changes what it is meant to change, and nothing where it is off."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from engine.backend import EngineInfo, StopReason, TokensDecoded
from engine.errors import UsageError
from engine.presets.preset import Sampling
from tests.engine.llama.driver import Driver, text_prompt, token_prompt

Load = Callable[..., EngineInfo]
PROMPT = [40 + number % 7 for number in range(30)]
HOT: dict[str, Any] = {"temperature": 1.0, "seed": 3, "top_p": 1.0, "min_p": 0.0}


def sampled(driver: Driver, count: int = 60, **settings: Any) -> list[int]:
    return driver.ask(token_prompt(PROMPT), sampling=Sampling(**settings), max_tokens=count).tokens


@pytest.fixture
def dense(load: Load, driver: Driver) -> Driver:
    load("dense")
    return driver


def test_the_default_order_is_unchanged_by_settings_that_are_off(dense: Driver) -> None:
    off: dict[str, Any] = {
        "presence_penalty": 0.0,
        "dry_multiplier": 0.0,
        "xtc_probability": 0.0,
        "dynatemp_range": 0.0,
        "logit_bias": None,
        "mirostat": 0,
    }
    assert sampled(dense, **HOT) == sampled(dense, **HOT, **off)


@pytest.mark.parametrize(
    "settings",
    [
        {"presence_penalty": 2.0},
        {"frequency_penalty": 2.0},
        {"dry_multiplier": 50.0},
        {"typical_p": 0.3},
        {"top_n_sigma": 0.5},
        {"xtc_probability": 1.0, "xtc_threshold": 0.01},
        {"dynatemp_range": 1.0},
        {"mirostat": 1, "mirostat_tau": 0.5},
        {"mirostat": 2, "mirostat_tau": 0.5},
        {"adaptive_target": 0.5},
        {"logit_bias": "65+3"},
    ],
    ids=str,
)
def test_a_setting_changes_the_answer_and_the_same_seed_gives_it_again(dense: Driver, settings: dict[str, Any]) -> None:
    first = sampled(dense, **HOT, **settings)
    assert len(first) == 60
    assert first != sampled(dense, **HOT)
    assert first == sampled(dense, **HOT, **settings)


@pytest.mark.parametrize("penalty", [{"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, {"repeat_penalty": 5.0}], ids=str)
def test_penalties_make_repetitions_rarer(dense: Driver, penalty: dict[str, float]) -> None:
    def most_common(**settings: Any) -> int:
        return Counter(sampled(dense, 120, temperature=0.0, repeat_last_n=256, **settings)).most_common(1)[0][1]

    assert most_common(**penalty) < most_common()


def test_a_penalty_can_bring_in_what_top_k_left_out(dense: Driver) -> None:
    """Top-k comes after the penalties, as in llama.cpp, although the chain begins with a wider one."""
    wide = sampled(dense, temperature=0.0, repeat_penalty=5.0, top_k=0)
    assert sampled(dense, temperature=0.0, repeat_penalty=5.0, top_k=1) == wide
    assert sampled(dense, temperature=0.0, frequency_penalty=1.5, dry_multiplier=2.0, top_k=1) == sampled(
        dense, temperature=0.0, frequency_penalty=1.5, dry_multiplier=2.0, top_k=0
    )


def test_dry_makes_repeated_sequences_rarer(dense: Driver) -> None:
    def distinct(**settings: Any) -> int:
        tokens = sampled(dense, 150, temperature=0.0, **settings)
        return len(set(zip(tokens, tokens[1:], tokens[2:], strict=False)))

    assert distinct(dry_multiplier=50.0) > distinct()


def test_narrow_choices_are_the_greedy_one(dense: Driver) -> None:
    greedy = sampled(dense, temperature=0.0)
    for settings in ({"top_k": 1}, {"top_n_sigma": 0.0001}, {"min_p": 1.0}, {"top_p": 0.000001}):
        assert sampled(dense, **{**HOT, **settings}) == greedy, settings


def test_a_bias_forces_and_forbids_tokens(dense: Driver) -> None:
    assert set(sampled(dense, temperature=0.0, logit_bias="65+1000")) == {65}
    greedy = sampled(dense, temperature=0.0)
    assert greedy[0] not in sampled(dense, temperature=0.0, logit_bias=f"{greedy[0]}-inf, 66=+1")


def test_a_bias_for_a_token_that_does_not_exist_is_an_error_before_the_first_token(dense: Driver) -> None:
    end = dense.ask(token_prompt(PROMPT), sampling=Sampling(logit_bias="99999999+1")).finished
    assert end.reason is StopReason.ERROR
    assert "99999999" in str(end.error)
    assert end.timings.prompt_n == 0


@pytest.mark.parametrize("text", ["x", "5", "5+", "+5", "5+x", "5+1;6+1", "-1+1", "5+nan"])
def test_a_bias_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="logit_bias"):
        Sampling(logit_bias=text)


def test_an_answer_goes_on_past_the_models_own_end_when_that_is_ignored(load: Load, driver: Driver) -> None:
    load("scripted")
    ended = driver.ask(text_prompt("hello\n"), sampling=Sampling(temperature=0.0), max_tokens=60).finished
    assert ended.reason is StopReason.EOG
    longer = driver.ask(text_prompt("hello\n"), sampling=Sampling(temperature=0.0, ignore_eos=True), max_tokens=60)
    assert (longer.finished.reason, len(longer.tokens)) == (StopReason.LENGTH, 60)


def test_log_probabilities_are_those_of_the_model_whatever_the_settings(dense: Driver) -> None:
    answer = dense.ask(token_prompt(PROMPT), sampling=Sampling(temperature=1.5, seed=1), max_tokens=12, logprobs=300)
    scored = [each for chunk in answer.all(TokensDecoded) for each in chunk.logprobs]
    assert [each.chosen.token for each in scored] == answer.tokens
    for each in scored:
        chances = [likely.logprob for likely in each.top]
        assert chances == sorted(chances, reverse=True)
        assert sum(math.exp(chance) for chance in chances) == pytest.approx(1.0, abs=1e-4)
        assert each.chosen in each.top
    greedy = dense.ask(token_prompt(PROMPT), max_tokens=5, logprobs=0)
    assert [each.top for chunk in greedy.all(TokensDecoded) for each in chunk.logprobs] == [()] * 5
    assert greedy.all(TokensDecoded)[0].logprobs[0].chosen.logprob == pytest.approx(scored[0].top[0].logprob, abs=0.01)
    assert not any(chunk.logprobs for chunk in dense.ask(token_prompt(PROMPT), max_tokens=5).all(TokensDecoded))
