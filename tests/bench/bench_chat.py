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
    from dataclasses import replace

    from engine.chat.prompt import PromptBuilder
    from engine.chat.thinking import ThinkingParser
    from engine.errors import EngineError
    from engine.llama.native import lib
    from engine.llama.vocab import LlamaVocabulary
    from engine.messages import ChatMessage, ChatPrompt, Role
    from tests import ggufs
    from tests.engine.chat import templates

    with tempfile.TemporaryDirectory() as folder:
        path = ggufs.dense(Path(folder) / "tiny.gguf")
        params = lib.llama_model_default_params()
        params.vocab_only = True
        model = lib.llama_model_load_from_file(str(path).encode(), params)
        vocabulary = LlamaVocabulary(lib.llama_model_get_vocab(model), "tiny")
        messages: list[ChatMessage] = []
        for number in range(1, 2 * TURNS + 2):
            role = Role.USER if number % 2 else Role.ASSISTANT
            text = f"{ANSWER}{number}" if role is Role.ASSISTANT else f"Question {number}, and what about the rest of it?"
            ids = tuple(vocabulary.tokenize(text, parse_special=False)) if role is Role.ASSISTANT else None
            messages.append(ChatMessage(role, text, tokens=ids, tokens_of="tiny" if ids else None))
        branch, before, n_ctx = ChatPrompt(tuple(messages)), ChatPrompt(tuple(messages[:-2])), 1_000_000

        for name in ("CHATML", "QWEN3", "LLAMA3"):
            template = getattr(templates, name)
            first = _ms(lambda template=template: PromptBuilder(vocabulary, template).build(before, n_ctx))  # type: ignore[misc]
            builder = PromptBuilder(vocabulary, template)
            builder.build(before, n_ctx)
            prompt = builder.build(branch, n_ctx)
            again = _ms(lambda builder=builder: builder.build(branch, n_ctx))  # type: ignore[misc]
            whole = _ms(lambda prompt=prompt: vocabulary.tokenize(prompt.facts.text, parse_special=True))  # type: ignore[misc]
            print(
                f"{name:8} {TURNS} turns, {len(prompt.tokens):,} tokens: first {first:6.1f} ms, next turn {again:6.1f} ms "
                f"= {again / whole:.2f} of tokenizing the whole text ({whole:.1f} ms)"
            )

        builder = PromptBuilder(vocabulary, templates.QWEN3)
        later = replace(branch, first_kept=builder.build(before, 16_384).facts.first_kept)
        full = _ms(lambda: builder.build(later, 16_384))
        print(f"full window of 16,384, oldest turns left out: next turn {full:6.1f} ms")

        large = ChatPrompt((ChatMessage(Role.USER, "some words of a large paste " * 75_000),))

        def refused() -> None:
            try:
                PromptBuilder(vocabulary, templates.QWEN3).build(large, 8192)
            except EngineError:
                return
            raise AssertionError

        refusal = _ms(refused)
        taken = _ms(lambda: PromptBuilder(vocabulary, templates.QWEN3).build(large, 4_000_000), 1)
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
