"""Chat templates of all families give the prompt their models were trained on, and a bad one never stops the chat."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.chat.markers import marked, unmarked
from engine.chat.prompt import TOO_LONG_FOR_TEMPLATE, PromptBuilder
from engine.chat.rendered import Entry, Rendered
from engine.chat.template import ROLES_JOINED, SYSTEM_MOVED, ChatFormat
from engine.chat.templating import budget
from engine.chat.templating.budget import Meter, TemplateLimitError
from engine.messages import ChatMessage, ChatPrompt, Role, Thinking
from tests.engine.chat import templates
from tests.engine.chat.vocabulary import WordVocabulary

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CHATML_TOKENS = WordVocabulary(["<|im_start|>", "<|im_end|>"], ["<think>", "</think>"], eos="<|im_end|>")
LLAMA_TOKENS = WordVocabulary(
    ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], bos="<|begin_of_text|>", eos="<|eot_id|>", add_bos=True
)
GEMMA_TOKENS = WordVocabulary(["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], bos="<bos>", eos="<eos>", add_bos=True)
MISTRAL_TOKENS = WordVocabulary(["<s>", "</s>", "[INST]", "[/INST]"], bos="<s>", eos="</s>", add_bos=True)
DEEPSEEK_TOKENS = WordVocabulary(
    ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"],
    bos="<｜begin▁of▁sentence｜>", eos="<｜end▁of▁sentence｜>", add_bos=True,
)  # fmt: skip
PLAIN_TOKENS = WordVocabulary(["<s>", "</s>"], bos="<s>", eos="</s>", add_bos=True)


def conversation(*texts: str, system: str | None = None) -> list[Entry]:
    """User and assistant in turns."""
    roles = [Role.USER, Role.ASSISTANT] * len(texts)
    entries = [Entry(role, marked(number, text)) for number, (role, text) in enumerate(zip(roles, texts, strict=False), 1)]
    return [Entry(Role.SYSTEM, marked(0, system)), *entries] if system is not None else entries


def render(source: str | None, vocabulary: WordVocabulary, entries: list[Entry], thinking: Thinking = "auto") -> Rendered:
    return ChatFormat(source, vocabulary).render(entries, thinking=thinking, now=NOW)


def text(source: str | None, vocabulary: WordVocabulary, *texts: str, system: str | None = None, thinking: Thinking = "auto") -> str:
    rendered = render(source, vocabulary, conversation(*texts, system=system), thinking)
    assert rendered.notices == ()
    return unmarked(rendered.text)


class TestFamilies:
    def test_chatml(self) -> None:
        assert text(templates.CHATML, CHATML_TOKENS, "Hi", "Hello", "And?", system="Be kind") == (
            "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
            "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_a_template_that_forgets_to_open_the_answer_is_helped(self) -> None:
        assert text(templates.CHATML_FORGETS_THE_PROMPT, CHATML_TOKENS, "Hi").endswith("Hi<|im_end|>\n<|im_start|>assistant\n")

    def test_qwen_drops_old_thinking(self) -> None:
        entries = conversation("Hi", "Hello", "And?")
        entries[1] = Entry(Role.ASSISTANT, entries[1].content, thinking=marked(0, "Hm"))
        assert "Hm" not in render(templates.QWEN3, CHATML_TOKENS, entries).text

    @pytest.mark.parametrize(
        ("thinking", "ending"),
        [
            ("auto", "<|im_start|>assistant\n"),
            ("on", "<|im_start|>assistant\n"),
            ("off", "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        ],
    )
    def test_qwen_is_told_whether_to_think(self, thinking: Thinking, ending: str) -> None:
        assert text(templates.QWEN3, CHATML_TOKENS, "Hi", thinking=thinking) == f"<|im_start|>user\nHi<|im_end|>\n{ending}"

    def test_llama_trims_and_prints_the_day_the_conversation_began(self) -> None:
        assert text(templates.LLAMA3, LLAMA_TOKENS, "  Hi \n", system=" Be kind ") == (
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 01 Mar 2026\n\nBe kind<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        )

    def test_gemma_gets_the_system_prompt_in_the_first_message(self) -> None:
        rendered = render(templates.GEMMA, GEMMA_TOKENS, conversation("Hi", "Hello", "And?", system="Be kind"))
        assert unmarked(rendered.text) == (
            "<bos><start_of_turn>user\nBe kind\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
            "<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n"
        )
        assert rendered.notices == (SYSTEM_MOVED,)

    def test_roles_that_must_alternate_are_joined(self) -> None:
        entries = [Entry(Role.USER, marked(1, "One")), Entry(Role.USER, marked(2, "Two"))]
        rendered = render(templates.GEMMA, GEMMA_TOKENS, entries)
        assert unmarked(rendered.text) == "<bos><start_of_turn>user\nOne\n\nTwo<end_of_turn>\n<start_of_turn>model\n"
        assert rendered.notices == (ROLES_JOINED,)

    def test_mistral_has_no_generation_prompt(self) -> None:
        assert text(templates.MISTRAL, MISTRAL_TOKENS, "Hi", "Hello", "And?") == "<s>[INST] Hi [/INST]Hello</s>[INST] And? [/INST]"

    def test_the_system_prompt_may_stand_in_the_last_message(self) -> None:
        assert text(templates.SYSTEM_IN_THE_LAST_MESSAGE, MISTRAL_TOKENS, "Hi", "Hello", "And?", system="Be kind") == (
            "<s>[INST]Hi[/INST]Hello</s>[INST]Be kind\n\nAnd?[/INST]"
        )

    def test_deepseek_opens_the_thinking(self) -> None:
        assert text(templates.DEEPSEEK_R1, DEEPSEEK_TOKENS, "Hi", "Hello", "And?", system="Be kind") == (
            "<｜begin▁of▁sentence｜>Be kind<｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜><｜User｜>And?<｜Assistant｜><think>\n"
        )

    def test_a_system_message_dropped_without_a_word_is_moved(self) -> None:
        rendered = render(templates.PHI, CHATML_TOKENS, conversation("Hi", system="Be kind"))
        assert unmarked(rendered.text) == "<|user|>\nBe kind\n\nHi<|end|>\n<|assistant|>\n"
        assert rendered.notices == (SYSTEM_MOVED,)

    def test_harmony(self) -> None:
        assert text(templates.HARMONY, CHATML_TOKENS, "Hi", "Hello", "And?", system="Be kind") == (
            "<|start|>system<|message|>You are a chat model.\nCurrent date: 2026-03-01<|end|>"
            "<|start|>developer<|message|># Instructions\n\nBe kind<|end|><|start|>user<|message|>Hi<|end|>"
            "<|start|>assistant<|channel|>final<|message|>Hello<|end|><|start|>user<|message|>And?<|end|><|start|>assistant"
        )

    def test_content_as_a_list_of_parts(self) -> None:
        assert text(templates.TYPED_CONTENT, CHATML_TOKENS, "Hi", system="Be kind") == (
            "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_an_empty_message_is_sent_as_it_is(self) -> None:
        assert text(templates.CHATML, CHATML_TOKENS, "") == "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"


class TestWithoutAUsableTemplate:
    @pytest.mark.parametrize(
        ("vocabulary", "expected", "said"),
        [
            (CHATML_TOKENS, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "the ChatML format is used"),
            (
                LLAMA_TOKENS,
                "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
                "the Llama 3 format is used",
            ),
            (GEMMA_TOKENS, "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", "the Gemma format is used"),
            (MISTRAL_TOKENS, "[INST] Hi [/INST]", "the Mistral format is used"),
            (PLAIN_TOKENS, "User:\nHi\n\nAssistant:\n", "sent as plain text"),
        ],
    )
    @pytest.mark.parametrize("source", [None, "", " \n"])
    def test_the_format_is_chosen_by_the_vocabulary(self, source: str | None, vocabulary: WordVocabulary, expected: str, said: str) -> None:
        rendered = render(source, vocabulary, conversation("Hi"))
        assert unmarked(rendered.text) == expected
        assert rendered.notices[0].startswith("This model has no chat template; ")
        assert said in rendered.notices[0]

    def test_plain_text_ends_at_the_next_user_line(self) -> None:
        assert render(None, PLAIN_TOKENS, conversation("Hi")).stop == ("\nUser:",)
        assert render(None, CHATML_TOKENS, conversation("Hi")).stop == ()

    def test_plain_text_begins_with_the_system_prompt(self) -> None:
        rendered = render(None, PLAIN_TOKENS, conversation("Hi", "Hello", "And?", system="Be kind"))
        assert unmarked(rendered.text) == "Be kind\n\nUser:\nHi\n\nAssistant:\nHello\n\nUser:\nAnd?\n\nAssistant:\n"

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("{{ raise_exception('only\x1b[31m on Sundays') }}", "only␛[31m on Sundays"),
            ("{% for %}", "Expected an expression"),
            ("{{ nothing.at.all }}", "'nothing' is undefined"),
            ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself endlessly"),
            ("a template that prints no message", "it leaves out the messages of the"),
            ("x" * 300_000, "300,000 characters"),
        ],
    )
    def test_a_template_that_fails_is_named_with_its_reason(self, source: str, reason: str) -> None:
        rendered = render(source, CHATML_TOKENS, conversation("Hi"))
        assert unmarked(rendered.text) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        assert rendered.notices[0].startswith("The model's chat template can't be used (")
        assert reason in rendered.notices[0]
        assert rendered.notices[0].isprintable()

    def test_one_that_never_ends_is_tried_once_only(self) -> None:
        tried: list[datetime] = []
        source = (
            "{% macro m() %}{{ m() }}{% endmacro %}{% if messages|length == 3 %}{{ strftime_now('') ~ m() }}{% endif %}" + templates.CHATML
        )
        chat_format = ChatFormat(source, CHATML_TOKENS)

        class Clock(datetime):
            def strftime(self, form: str, /) -> str:
                tried.append(self)
                return ""

        for _ in range(3):
            rendered = chat_format.render(conversation("Hi", "Hello", "And?"), thinking="auto", now=Clock(2026, 3, 1))
            assert "calls itself endlessly" in rendered.notices[0]
        assert len(tried) == 1

    def test_one_that_fails_at_one_conversation_only_is_used_for_the_others(self) -> None:
        source = "{% if 'Sunday' in messages[-1].content %}{{ raise_exception('closed') }}{% endif %}" + templates.CHATML
        chat_format = ChatFormat(source, CHATML_TOKENS)
        assert "closed" in chat_format.render(conversation("Sunday"), thinking="auto", now=NOW).notices[0]
        assert chat_format.render(conversation("Monday"), thinking="auto", now=NOW).notices == ()


class TestLongConversations:
    QUADRATIC = (
        "{% for m in messages %}{% for n in messages %}{% if n is undefined %}{% endif %}{% endfor %}"
        "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}<|im_start|>assistant\n"
    )

    def test_a_template_that_reads_everything_again_for_each_message_loses_older_turns_but_not_its_format(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(budget, "SECONDS_PER_ITEM", 0.0)
        monkeypatch.setattr(budget, "STEPS_PER_ITEM", 0)
        builder = PromptBuilder(CHATML_TOKENS, self.QUADRATIC)
        vars(builder.chat_format._own)["_sandbox"].meter._max_steps = 20_000
        roles = [Role.USER, Role.ASSISTANT] * 200
        messages = tuple(ChatMessage(role, f"m{number}") for number, role in enumerate(roles[:-1]))
        long = builder.build(ChatPrompt(messages), 100_000)
        assert long.facts.left_out > 100
        assert long.facts.notices == (TOO_LONG_FOR_TEMPLATE,)
        assert long.facts.text.endswith("<|im_start|>user\nm398<|im_end|>\n<|im_start|>assistant")
        assert builder.build(ChatPrompt(messages[:3]), 100_000).facts.notices == ()

    def test_a_conversation_has_more_time_than_a_message(self) -> None:
        meter = Meter(max_seconds=-1)
        with pytest.raises(TemplateLimitError):
            meter.step(100)
        meter.begin({"messages": [{}] * 10_000})
        meter.step(100)


def test_a_template_that_loops_over_tools_gets_an_empty_list() -> None:
    source = "{% for t in tools %}{{ t.name }}{% endfor %}" + templates.CHATML
    assert text(source, CHATML_TOKENS, "Hi").startswith("<|im_start|>user\nHi")


def test_a_template_that_tells_none_from_an_empty_list_gets_none() -> None:
    source = "{% if tools is not none %}You have tools.{% endif %}" + templates.CHATML
    assert text(source, CHATML_TOKENS, "Hi").startswith("<|im_start|>user\nHi")
