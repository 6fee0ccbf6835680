"""What a prompt costs, on a real tokenizer: a new turn of a long conversation, a full window, a message of megabytes.

    python -m tests.bench.bench_chat

Prints milliseconds for the eye and ratios to compare: all figures of one line come from the same run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TURNS = 200
ANSWER = "The quick brown fox jumps over the lazy dog, and then it rests for a while in the shade of the old tree. " * 8


def _ms(work: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(taken)


def main() -> None:
    """Run all of it."""
    from engine.chat.prompt import PromptBuilder, PromptCache
    from engine.chat.thinking import ThinkingParser
    from engine.errors import EngineError
    from engine.llama.native import lib
    from engine.llama.vocab import LlamaVocabulary
    from engine.records import Message, Role
    from tests import ggufs
    from tests.engine.chat import templates

    with tempfile.TemporaryDirectory() as folder:
        path = ggufs.dense(Path(folder) / "tiny.gguf")
        params = lib.llama_model_default_params()
        params.vocab_only = True
        model = lib.llama_model_load_from_file(str(path).encode(), params)
        vocabulary = LlamaVocabulary(lib.llama_model_get_vocab(model), "tiny")
        messages: list[Message] = []
        for number in range(1, 2 * TURNS + 2):
            role = Role.USER if number % 2 else Role.ASSISTANT
            text = f"{ANSWER}{number}" if role is Role.ASSISTANT else f"Question {number}, and what about the rest of it?"
            ids = tuple(vocabulary.tokenize(text, parse_special=False)) if role is Role.ASSISTANT else None
            messages.append(Message(number, number - 1 or None, role, text, tokens=ids, tokens_of="tiny" if ids else None))
        branch, n_ctx = tuple(messages), 1_000_000

        for name in ("CHATML", "QWEN3", "LLAMA3"):
            template = getattr(templates, name)
            cache = PromptCache()
            first = _ms(lambda template=template: PromptBuilder(branch[:-2], template, PromptCache())(vocabulary, n_ctx))  # type: ignore[misc]
            PromptBuilder(branch[:-2], template, cache)(vocabulary, n_ctx)
            prompt = PromptBuilder(branch, template, cache)(vocabulary, n_ctx)
            again = _ms(lambda template=template, cache=cache: PromptBuilder(branch, template, cache)(vocabulary, n_ctx))  # type: ignore[misc]
            whole = _ms(lambda prompt=prompt: vocabulary.tokenize(prompt.text, parse_special=True))  # type: ignore[misc]
            print(
                f"{name:8} {TURNS} turns, {len(prompt.tokens):,} tokens: first {first:6.1f} ms, next turn {again:6.1f} ms "
                f"= {again / whole:.2f} of tokenizing the whole text ({whole:.1f} ms)"
            )

        cache, kept = PromptCache(), 0
        kept = PromptBuilder(branch[:-2], templates.QWEN3, cache)(vocabulary, 16_384).first_kept
        full = _ms(lambda: PromptBuilder(branch, templates.QWEN3, cache, first_kept=kept)(vocabulary, 16_384))
        print(f"full window of 16,384, oldest turns left out: next turn {full:6.1f} ms")

        large = (Message(1, None, Role.USER, "some words of a large paste " * 75_000),)

        def refused() -> None:
            try:
                PromptBuilder(large, templates.QWEN3, PromptCache())(vocabulary, 8192)
            except EngineError:
                return
            raise AssertionError

        refusal = _ms(refused)
        taken = _ms(lambda: PromptBuilder(large, templates.QWEN3, PromptCache())(vocabulary, 4_000_000), 1)
        print(f"2 MB message: refused in {refusal:6.1f} ms, taken in {taken:6.1f} ms")

        pieces = ["<think>", *(["word ", "and\n"] * 1000), "</think>", "\n\n", *(["word ", "and\n"] * 1000)]

        def parse() -> None:
            parser = ThinkingParser()
            for piece in pieces:
                parser.feed(piece)
            parser.finish()

        print(f"thinking parser: {_ms(parse) / len(pieces) * 1e3:.2f} us per token")
        lib.llama_model_free(model)


if __name__ == "__main__":
    main()
