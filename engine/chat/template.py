"""Probes and renders the model's chat template, or a well-known format for models without a usable one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import product
from typing import Any

from jinja2 import TemplateError

from engine.chat.markers import CLOSE, marked, opening, unmarked
from engine.chat.rendered import Entry, Rendered
from engine.chat.switches import LEAST_EFFORT, NO_SWITCH, SWITCHES, THINKING_SET, Switch, is_known
from engine.chat.templating.budget import TemplateLimitError
from engine.chat.templating.process import TemplateProcess
from engine.chat.templating.sandbox import Sandbox
from engine.chat.thinking_styles import HARMONY, learned_style, style_of
from engine.chat.tools import HERMES, PROBE, PROBE_TOOL, ToolStyle, call_object, described, short_id, style_in
from engine.chat.vocabulary import Vocabulary
from engine.messages import Role, Thinking, ThinkingStyle, ToolCall
from engine.text import printable


@dataclass(frozen=True, slots=True)
class Fallback:
    """A well-known format for models without a usable template."""

    name: str
    token: str
    """The special text of models with this format; empty for any model."""
    source: str
    stop: tuple[str, ...] = ()


FALLBACKS = (
    Fallback(
        "ChatML",
        "<|im_start|>",
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
    Fallback(
        "Llama 3",
        "<|start_header_id|>",
        "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    ),
    Fallback(
        "Gemma",
        "<start_of_turn>",
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content + '<end_of_turn>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    ),
    Fallback(
        "Mistral",
        "[INST]",
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% elif m.role == 'user' %}"
        "{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
    ),
    Fallback(
        "User:/Assistant:",
        "",
        "{% for m in messages %}{{ (m.content if m.role == 'system' else m.role|capitalize + ':\\n' + m.content) + '\\n\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}",
        stop=("\nUser:",),
    ),
)
"""The formats, in the order in which they are tried."""

SYSTEM_MOVED = "The chat template does not support a system message, so the system prompt is put before the first message."
EMPTY_LEFT_OUT = "The chat template does not support empty answers, so they are left out of the prompt."
ROLES_JOINED = "The chat template requires alternating roles, so neighbouring messages of one role are joined."


class ChatFormat:
    """One model's template, ready to render. For one thread."""

    def __init__(self, source: str | None, vocabulary: Vocabulary, sandbox: Sandbox | TemplateProcess | None = None) -> None:
        """`sandbox` renders `source`; the well-known formats are rendered in this process."""
        self._vocabulary = vocabulary
        self._fallback: _Template | None = None
        self._own: _Template | None = None
        self._why_not = "This model has no chat template"
        if source and source.strip():
            try:
                self._own = _Template(source, vocabulary, sandbox or Sandbox())
            except TemplateError as error:
                self._why_not = _unusable(error)

    @property
    def literals(self) -> str:
        """Text that the template itself may print: its source and a short conversation."""
        template = self._own or self._fallback_template()
        return template.source + template.sample

    @cached_property
    def tool_style(self) -> ToolStyle:
        """How the model writes calls of tools."""
        return (self._own.tool_style if self._own else None) or HERMES

    def render(self, entries: Sequence[Entry], *, thinking: Thinking, now: datetime, tools: Sequence[object] = ()) -> Rendered:
        """Render the conversation in the model's format, up to the start of its answer.

        `now` is the date for the template; keep it constant in a conversation, or its KV state is lost at midnight.

        Raises TemplateLimitError when the template takes too long for this conversation; a shorter one may work. On any other fault, and on
        this one with at most two user messages, a well-known format is used instead.
        """
        why_not = self._why_not
        with_tools = bool(tools) or any(entry.calls or entry.role is Role.TOOL for entry in entries)
        if with_tools and (self._own is None or self._own.tool_style is None):
            entries, tools = described(entries, tools), ()
        if self._own:
            try:
                return self._own.render(entries, thinking=thinking, now=now, tools=tools)
            except TemplateError as error:
                why_not = _unusable(error)
                if isinstance(error, TemplateLimitError):
                    if sum(entry.role is Role.USER for entry in entries) > 2:
                        raise
                    self._own, self._why_not = None, why_not
            if with_tools:
                entries = described(entries, tools)
        rendered = self._fallback_template().render(entries, thinking=thinking, now=now)
        return replace(rendered, notices=(f"{why_not}; {self._what_instead()}.", *rendered.notices), stop=self._format().stop)

    def _format(self) -> Fallback:
        return next(fallback for fallback in FALLBACKS if not fallback.token or fallback.token in self._vocabulary.special_texts)

    def _what_instead(self) -> str:
        fallback = self._format()
        if not fallback.token:
            return "the conversation is sent as plain text with User: and Assistant: before each message"
        return f"the {fallback.name} format is used, because the vocabulary has its {fallback.token}"

    def _fallback_template(self) -> _Template:
        if self._fallback is None:
            self._fallback = _Template(self._format().source, self._vocabulary, Sandbox())
        return self._fallback


class _Template:
    """A compiled template and its calling conventions, probed with a short conversation."""

    def __init__(self, source: str, vocabulary: Vocabulary, sandbox: Sandbox | TemplateProcess) -> None:
        self.source = source
        self.sample = ""
        self._sandbox: Any = sandbox
        self._compiled = self._sandbox.compile_template(source)
        self._bos, self._eos = vocabulary.bos_text, vocabulary.eos_text
        self._tools: list[object] | None = None
        self._typed_content = False
        self._system_role = True
        self._missing_prompt = ""
        self.style = style_of(source)
        self._switch: Switch = SWITCHES[0]
        self._word_switch = False
        self._switch_works: frozenset[bool] = frozenset()
        self._stop: tuple[str, ...] = ()
        self._arguments_as_text = False
        self._probe(vocabulary.special_texts)

    @cached_property
    def tool_style(self) -> ToolStyle | None:
        """How the template prints calls; None where it prints neither tools nor calls, or in a way that is not known."""
        user, call = Entry(Role.USER, marked(1, "x")), ToolCall(PROBE, '{"a": "b"}', "abcdefghi")
        answers = (user, Entry(Role.ASSISTANT, "", calls=(call,)), Entry(Role.TOOL, marked(2, "x"), result_of=call))
        now = datetime.fromtimestamp(0).astimezone()
        with suppress(TemplateError):
            if PROBE not in self._call((user,), thinking="auto", now=now, tools=[PROBE_TOOL]):
                return None
        for self._arguments_as_text in (False, True):
            with suppress(TemplateError):
                history = self._checked(answers, thinking="auto", now=now, needed=(Role.USER, Role.TOOL))
                if (style := style_in(history.rpartition(opening(1))[2])) is not None:
                    return style
        return None

    def render(self, entries: Sequence[Entry], *, thinking: Thinking, now: datetime, tools: Sequence[object] = ()) -> Rendered:
        """Render a conversation; raises TemplateError when no way of calling the template prints every user message."""
        unswitched = thinking != "auto" and (entries[0].role is Role.SYSTEM) not in self._switch_works
        notices: list[str] = [NO_SWITCH] if unswitched else []
        entries = self._switched(entries, thinking)
        if not self._system_role and entries[0].role is Role.SYSTEM:
            entries = _without_system(entries)
            notices.append(SYSTEM_MOVED)
        try:
            text = self._checked(entries, thinking=thinking, now=now, tools=tools)
        except TemplateLimitError:
            raise
        except TemplateError:
            answered = [entry for entry in entries if entry.content or entry.calls or entry.role is not Role.ASSISTANT]
            joined = _joined(answered)
            if len(joined) == len(entries):
                raise
            text = self._checked(joined, thinking=thinking, now=now, tools=tools)
            notices.append(ROLES_JOINED if len(answered) == len(entries) else EMPTY_LEFT_OUT)
        text += self._missing_prompt
        return Rendered(text, text.rpartition(CLOSE)[2], self.source, tuple(notices), self._stop, self.style)

    def _probe(self, special_texts: frozenset[str]) -> None:
        entries = tuple(Entry(role, marked(number, "x")) for number, role in enumerate(_PROBED))
        now = datetime.fromtimestamp(0).astimezone()
        first_error: TemplateError | None = None
        for self._tools, self._typed_content, self._system_role in product((None, []), (False, True), (True, False)):
            try:
                self.sample = self._checked(
                    entries if self._system_role else _without_system(entries), thinking="auto", now=now, needed=(Role.SYSTEM, Role.USER)
                )
                break
            except TemplateLimitError:
                raise
            except TemplateError as error:
                first_error = first_error or error
        else:
            raise first_error or TemplateError("")
        self._learn_missing_prompt(entries[1:3], special_texts, now)
        self._learn_switch(entries[:2], now)
        self.style = self._learn_style(entries[1], now)
        self._stop = _end_of_turn(self.sample, special_texts)
        self.sample = unmarked(self.sample)

    def _learn_switch(self, entries: Sequence[Entry], now: datetime) -> None:
        """Find the known switch that changes the template's output, with and without a system message."""

        def works(*conversation: Entry) -> bool:
            with suppress(TemplateError):
                on, off = (self._call(self._switched(conversation, way), thinking=way, now=now) for way in THINKING_SET)
                return on != off
            return False

        for self._switch in (*SWITCHES, LEAST_EFFORT):
            self._word_switch = not self._switch["off"]
            if is_known(self._switch, self.source):
                ways = {True: entries if self._system_role else _without_system(entries), False: entries[1:]}
                self._switch_works = frozenset(system for system, conversation in ways.items() if works(*conversation))
                if self._switch_works:
                    break
        if not self._switch_works:
            self._switch = SWITCHES[0]
        elif self._switch is LEAST_EFFORT:
            self._switch_works = frozenset()

    def _switched(self, entries: Sequence[Entry], thinking: Thinking) -> Sequence[Entry]:
        """Add the word that some templates look for to the system message."""
        if not self._word_switch or thinking == "auto":
            return entries
        word = "/think" if thinking == "on" else "/no_think"
        if entries[0].role is Role.SYSTEM:
            return (replace(entries[0], content=f"{entries[0].content} {word}"), *entries[1:])
        return (Entry(Role.SYSTEM, word), *entries) if self._system_role else entries

    def _learn_style(self, user: Entry, now: datetime) -> ThinkingStyle:
        """Render an answer with thinking in every way that templates support, and return the style around it."""
        known = style_of(self.source)
        answer = Entry(Role.ASSISTANT, marked(2, "x"), marked(0, "x"))
        switches: tuple[Thinking, ...] = ("auto", "on")
        for thinking, blocks in product(() if known is HARMONY else switches, (False, True)):
            try:
                history = self._call((user, answer), thinking=thinking, now=now, prompt=False, thinking_blocks=blocks)
                learned = learned_style(history, self._call((user,), thinking=thinking, now=now))
            except TemplateLimitError:
                raise
            except TemplateError:
                continue
            if learned is not None:
                return learned
        return known

    def _learn_missing_prompt(self, turn: Sequence[Entry], special_texts: frozenset[str], now: datetime) -> None:
        """Find the text that opens an answer, for templates that omit it, between a message and its answer."""
        message = turn[:1]
        with_prompt = self._call(message, thinking="auto", now=now)
        if with_prompt != self._call(message, thinking="auto", now=now, prompt=False):
            return
        ending = with_prompt.rpartition(CLOSE)[2]
        message_first, _, between = self._call(turn, thinking="auto", now=now, prompt=False).partition(opening(2))[0].rpartition(CLOSE)
        rest = between[len(ending) :]
        if message_first and between.startswith(ending) and any(special in rest for special in special_texts if not special.isspace()):
            self._missing_prompt = rest

    def _checked(
        self,
        entries: Sequence[Entry],
        *,
        thinking: Thinking,
        now: datetime,
        needed: Sequence[Role] = (Role.USER, Role.TOOL),
        tools: Sequence[object] = (),
    ) -> str:
        text = self._call(entries, thinking=thinking, now=now, tools=tools)
        for entry in entries:
            if entry.role in needed and any(mark not in text for mark in _openings(entry.content)):
                raise TemplateError(f"it leaves out the messages of the {entry.role}")
        return text

    def _call(
        self,
        entries: Sequence[Entry],
        *,
        thinking: Thinking,
        now: datetime,
        prompt: bool = True,
        thinking_blocks: bool = False,
        tools: Sequence[object] = (),
    ) -> str:
        variables: dict[str, object] = {
            "messages": [self._message(entry, thinking_blocks=thinking_blocks) for entry in entries],
            "add_generation_prompt": prompt,
            "bos_token": self._bos,
            "eos_token": self._eos,
            "tools": list(tools) or self._tools,
            "documents": None,
        }
        if thinking != "auto":
            variables |= self._switch[thinking]
        text: str = self._sandbox.render_metered(self._compiled, variables, now=now)
        return text

    def _message(self, entry: Entry, *, thinking_blocks: bool) -> dict[str, object]:
        content: object = [{"type": "text", "text": entry.content}] if self._typed_content else entry.content
        message: dict[str, object] = {"role": str(entry.role), "content": content}
        if entry.thinking and thinking_blocks:
            message["content"] = [{"type": "thinking", "thinking": entry.thinking}, {"type": "text", "text": entry.content}]
        elif entry.thinking:
            message |= dict.fromkeys(("reasoning_content", "thinking", "reasoning"), entry.thinking)
        if entry.calls:
            message["tool_calls"] = [call_object(call, text=self._arguments_as_text) for call in entry.calls]
        if entry.result_of is not None:
            message |= {"name": entry.result_of.name, "tool_call_id": short_id(entry.result_of.id)}
        return message


_PROBED = (Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.USER)
"""Roles of the short conversation that probes a template; each content has its index as number."""
_TAG = re.compile(r"\s*(<[^<>\s]{2,40}>)")


def _end_of_turn(sample: str, special_texts: frozenset[str]) -> tuple[str, ...]:
    """Return the template's text after an answer, where the vocabulary has no token for it and the model writes it as text."""
    tag = _TAG.match(sample.partition(opening(_PROBED.index(Role.ASSISTANT)))[2].partition(CLOSE)[2])
    return () if tag is None or any(special in tag[1] for special in special_texts) else (tag[1],)


def _openings(content: str) -> list[str]:
    first = opening(0)[0]
    last = opening(0)[-1]
    return [first + piece.partition(last)[0] + last for piece in content.split(first)[1:]]


def _without_system(entries: Sequence[Entry]) -> Sequence[Entry]:
    system, *rest = entries
    first = next(index for index, entry in enumerate(rest) if entry.role is Role.USER)
    rest[first] = replace(rest[first], content=f"{system.content}\n\n{rest[first].content}")
    return rest


def _joined(entries: Sequence[Entry]) -> Sequence[Entry]:
    joined: list[Entry] = []
    for entry in entries:
        if joined and joined[-1].role is entry.role and entry.role is not Role.TOOL and not entry.calls and not joined[-1].calls:
            joined[-1] = replace(joined[-1], content=f"{joined[-1].content}\n\n{entry.content}")
        else:
            joined.append(entry)
    return joined


def _unusable(error: TemplateError) -> str:
    reason = printable(str(error.message).strip())
    return f"The model's chat template can't be used ({reason or type(error).__name__})"
