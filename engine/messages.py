"""The input of an engine: a conversation, a text, or token ids. The engine makes the prompt from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from engine.presets.preset import Preset

Thinking = Literal["auto", "on", "off"]
"""`Preset.thinking`: whether templates with a switch ask the model to think."""


class Role(StrEnum):
    """Who wrote a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """The result of a call; only in prompts."""


@dataclass(frozen=True, slots=True)
class ThinkingStyle:
    """The markers of thinking of a model family."""

    opening: str
    closing: str
    line: str = "\n"
    """Text after the opening and before the closing marker."""
    gap: str = "\n\n"
    """Text between the closing marker and the answer."""
    reply: str = ""
    """Text before an answer without thinking."""
    answer: tuple[str, str] = ("", "")
    """Texts around an answer."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's call of a tool."""

    name: str
    arguments: str
    """A JSON object, as text."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation to be answered."""

    role: Role
    text: str
    thinking: str = ""
    """The thinking before an answer; part of the prompt only where the chat template asks for it."""
    tokens: tuple[int, ...] | None = None
    """For an answer: the ids that the model generated (`text` may name other keys than it did). A hint for engines that declare
    `token_ids`, which reuse the KV cache exactly then."""
    tokens_of: str | None = None
    """`ModelInfo.fingerprint` of the model that `tokens` belong to."""
    calls: tuple[ToolCall, ...] = ()
    """For an answer: the tools that it called."""
    result_of: ToolCall | None = None
    """For the result of a tool: its call."""


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation whose last message is to be answered, or continued."""

    messages: tuple[ChatMessage, ...]
    """The oldest first; a system message can only be the first one."""
    thinking: Thinking = "auto"
    began_ms: int = 0
    """Unix time of the conversation's start: the date that templates print, the same in every turn so that the KV cache stays useful."""
    reserve: int = 0
    """Tokens of the context window to keep free for the answer; never more than half of it."""
    first_kept: int = 0
    """`PromptFacts.first_kept` of the last turn: messages left out once stay out, for the same reason."""
    complete: bool = False
    """Whether to refuse a conversation that does not fit into the window, instead of leaving out its oldest turns."""
    continue_answer: bool = False
    """Whether to continue the last message, an answer, where it stopped, also in its thinking."""
    tools: str = ""
    """The tools that the model may call: a JSON array in OpenAI's form; empty for none."""


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A text to continue, without a chat template; texts of control tokens in it become those tokens."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids to continue, for measurements; only for engines that declare `token_ids`."""

    tokens: tuple[int, ...]
    boundaries: tuple[int, ...] = ()
    """Positions where later prompts may diverge, ascending, for checkpoints of models that can't truncate their state."""


Prompt = ChatPrompt | TextPrompt | TokenPrompt


class ConstraintKind(StrEnum):
    """The language of a constraint."""

    JSON_SCHEMA = "json-schema"
    """`{"type": "object"}` is any JSON object."""
    REGEX = "regex"
    LARK = "lark"
    """Lark, as llguidance reads it: lazy rules, `%json`, control tokens in angle brackets."""
    GBNF = "gbnf"
    """llama.cpp's grammars."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """The required format of an answer, after its thinking. It applies to every token; a cut answer is a prefix of the format."""

    kind: ConstraintKind
    text: str
    triggers: tuple[str, ...] = ()
    """Free text until one of these stands in the answer; from there on the form, then free text again. Empty: the whole answer."""


def constraint_of(preset: Preset) -> Constraint | None:
    """Return the form that a preset gives answers."""
    if preset.json_schema is not None:
        return Constraint(ConstraintKind.JSON_SCHEMA, preset.json_schema)
    if preset.grammar is not None:
        return Constraint(ConstraintKind.GBNF if "::=" in preset.grammar else ConstraintKind.LARK, preset.grammar)
    return Constraint(ConstraintKind.REGEX, preset.regex) if preset.regex is not None else None
