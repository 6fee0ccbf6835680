"""llguidance grammars of constraints: the answer, with the thinking before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from engine.backend import PromptFacts
from engine.errors import UsageError
from engine.llama.constraints.endless import lark_completes, schema_completes
from engine.messages import ChatPrompt, Constraint, ConstraintKind, Prompt, Role
from engine.text import printable

if TYPE_CHECKING:
    from engine.llama.vocab import LlamaVocabulary

MOST_TEXT: Final = 128 << 10
"""Characters of the longest constraint: the native compiler recurses along chains of rules, and its stack is sized for this length."""
MOST_KEYS: Final = 2_000
"""Most keys of an object in a schema: compile time is quadratic in them."""
_WHITE: Final = r"[ \n\r\t]{0,40}"
"""Blanks between two parts of JSON, bounded so that a model can't write blanks for ever."""
_NAMES: Final = {
    ConstraintKind.JSON_SCHEMA: "JSON schema",
    ConstraintKind.REGEX: "regular expression",
    ConstraintKind.LARK: "grammar",
    ConstraintKind.GBNF: "grammar",
}


def refused(constraint: Constraint, reason: str) -> UsageError:
    """Return the error for a constraint that can't be used."""
    return UsageError(f"The {_NAMES[constraint.kind]} can't be used", printable(reason, 300), "Correct it, or ask without it.")


def grammar_of(constraint: Constraint, frame: tuple[str, str]) -> str:
    """Return the grammar of an answer; `frame` is the grammar around the form (see `frame_of`).

    Raises UsageError for a constraint that is too long, that its language does not allow, or that no text completes.
    """
    if len(constraint.text) > MOST_TEXT:
        raise refused(constraint, f"it has {len(constraint.text):,} characters, and at most {MOST_TEXT:,} are supported")
    try:
        form, completes = _form(constraint)
    except RecursionError:
        raise refused(constraint, "it is nested too deeply") from None
    if not completes:
        raise refused(constraint, "nothing satisfies it: it is recursive without an end")
    start, rules = frame
    if not rules and start == "@form":
        return json.dumps({"grammars": [form]})
    return json.dumps({"grammars": [{"lark_grammar": f"start: {start}\n{rules}"}, {**form, "name": "form"}]})


def _form(constraint: Constraint) -> tuple[dict[str, Any], bool]:
    """Return the grammar of the form alone, and whether a text completes it."""
    text = constraint.text
    match constraint.kind:
        case ConstraintKind.JSON_SCHEMA:
            try:
                schema = json.loads(text)
            except ValueError as error:
                raise refused(constraint, f"it is not JSON: {error}") from None
            _check_keys(constraint, schema)
            if isinstance(schema, dict):
                schema["x-guidance"] = {"whitespace_pattern": _WHITE}
            return {"json_schema": schema}, schema_completes(schema)
        case ConstraintKind.REGEX:
            from llguidance import LLMatcher

            return {"lark_grammar": json.loads(LLMatcher.grammar_from_regex(text))["grammars"][0]["lark_grammar"]}, True
        case ConstraintKind.GBNF:
            from llguidance.gbnf_to_lark import GbnfToLarkError, gbnf_to_lark

            try:
                text = gbnf_to_lark(text)
            except (GbnfToLarkError, ValueError, IndexError, KeyError) as error:
                raise refused(constraint, f"it is not GBNF: {error}") from None
    return {"lark_grammar": text}, lark_completes(text)


def _check_keys(constraint: Constraint, schema: object) -> None:
    todo = [schema]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if len(value) > MOST_KEYS:
                raise refused(constraint, f"an object in it has {len(value):,} keys, and at most {MOST_KEYS:,} are supported")
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def answer_so_far(prompt: Prompt) -> str:
    """Return the text of the answer that a prompt continues; empty for a new one."""
    if isinstance(prompt, ChatPrompt) and prompt.continue_answer and prompt.messages[-1].role is Role.ASSISTANT:
        return prompt.messages[-1].text
    return ""


def frame_of(constraint: Constraint, prompt: Prompt, facts: PromptFacts, vocabulary: LlamaVocabulary) -> tuple[str, str]:
    """Return the grammar around the form, in Lark: the expression with `@form` in it, and its rules.

    It covers the thinking before the answer, with the model's own markers, and free text where a trigger begins the form.
    """
    start, rules = "@form", []
    if constraint.triggers:
        calls = []
        for index, trigger in enumerate(constraint.triggers):
            head, more = _until(trigger, f"trigger_{index}", vocabulary)
            calls.append(f"{head} @form")
            rules += more
        start = f"({' | '.join(calls)})* TEXT"
    style = facts.style
    if style is not None and not answer_so_far(prompt):
        closing, more = _until(style.closing, "thinking", vocabulary)
        opened = " ".join(lark_of(style.opening, vocabulary))
        inside = f"{closing} BLANK?"
        if style.answer[0]:
            inside += f" ({' '.join(lark_of(style.answer[0], vocabulary))} BLANK?)?"
        reply = f"({' '.join(lark_of(style.reply, vocabulary))})? " if style.reply.strip() else ""
        if facts.opens_thinking:
            start, rules = f"{inside} {start}", [*rules, *more]
        elif _is_own(style.opening, vocabulary) and not (isinstance(prompt, ChatPrompt) and prompt.thinking == "off"):
            start, rules = f"({opened} {inside} | {reply or 'NOTHING'}) {start}", [*rules, *more]
        elif reply:
            start = f"{reply}{start}"
    if start != "@form":
        rules += [r"TEXT: /(.|\n)*/", r"BLANK: /[ \n\t]{1,8}/", 'NOTHING: ""']
    return start, "\n".join(rules)


def _is_own(marker: str, vocabulary: LlamaVocabulary) -> bool:
    """Return whether the model has a token for the marker, or for a part of it that is not text."""
    tokens = vocabulary.tokenize(marker, parse_special=True)
    return len(tokens) == 1 or any(not vocabulary.pieces[token] for token in tokens)


def _until(marker: str, name: str, vocabulary: LlamaVocabulary) -> tuple[str, list[str]]:
    """Return an expression for any text up to a marker, and the rules that it needs."""
    first, *rest = lark_of(marker, vocabulary)
    if first.startswith("<"):
        return " ".join(("TEXT", first, *rest)), []
    return " ".join((name, *rest)), [f"{name}[lazy]: TEXT {first}"]


def lark_of(marker: str, vocabulary: LlamaVocabulary) -> Iterator[str]:
    """Yield the parts of a marker in Lark: control tokens by id, and texts."""
    text = b""
    for token in vocabulary.tokenize(marker, parse_special=True):
        piece = vocabulary.pieces[token]
        if piece:
            text += piece
            continue
        if text:
            yield json.dumps(text.decode("utf-8", "replace"))
        yield f"<[{token}]>"
        text = b""
    if text:
        yield json.dumps(text.decode("utf-8", "replace"))
