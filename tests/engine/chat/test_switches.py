"""A person's wish that a model think, or not, reaches the template in the words it knows, or the person is told that it has none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.chat.markers import marked, unmarked
from engine.chat.rendered import Entry
from engine.chat.switches import NO_SWITCH
from engine.chat.template import ChatFormat
from engine.messages import Role, Thinking
from tests.engine.chat import templates
from tests.engine.chat.vocabulary import WordVocabulary


def rendered(source: str, thinking: Thinking, *, system: bool = False) -> tuple[str, tuple[str, ...]]:
    entries = [Entry(Role.SYSTEM, marked(0, "Be kind"))] * system + [Entry(Role.USER, marked(1, "Hi"))]
    result = ChatFormat(source, WordVocabulary()).render(entries, thinking=thinking, now=datetime(2026, 3, 1, tzinfo=UTC))
    return unmarked(result.text), result.notices


SWITCHES = {
    "enable_thinking": "{% if enable_thinking is defined and not enable_thinking %}OFF{% endif %}",
    "thinking": "{% if thinking is defined and not thinking %}OFF{% endif %}",
    "thinking_mode": "{% if thinking_mode is defined and thinking_mode == 'disabled' %}OFF{% endif %}",
    "thinking_budget": "{% if thinking_budget is defined and thinking_budget == 0 %}OFF{% endif %}",
    "reasoning_effort, none": "{% if reasoning_effort is defined and reasoning_effort == 'none' %}OFF{% endif %}",
    "reasoning_effort, no_think": "{% if reasoning_effort is defined and reasoning_effort not in ['high', 'no_think'] %}"
    "{{ raise_exception('unknown effort') }}{% endif %}{% if reasoning_effort == 'no_think' %}OFF{% endif %}",
    "a word": "{% for m in messages if '/no_think' in m.content %}OFF{% endfor %}",
}


@pytest.mark.parametrize("source", SWITCHES.values(), ids=SWITCHES)
@pytest.mark.parametrize("system", [False, True])
def test_the_switch_of_the_template_is_used(source: str, system: bool) -> None:
    source += templates.CHATML
    assert "OFF" in rendered(source, "off", system=system)[0]
    for thinking in ("on", "auto"):
        assert "OFF" not in rendered(source, thinking, system=system)[0]
    assert rendered(source, "off", system=system)[1] == ()


def test_a_template_without_a_switch_is_told_of() -> None:
    for thinking in ("on", "off"):
        text, notices = rendered(templates.CHATML, thinking)
        assert notices == (NO_SWITCH,)
        assert text == rendered(templates.CHATML, "auto")[0]
    assert rendered(templates.CHATML, "auto")[1] == ()


def test_a_template_that_can_only_think_less_does_that_and_says_so() -> None:
    source = "Effort: {{ reasoning_effort | default('medium') }}" + templates.CHATML
    text, notices = rendered(source, "off")
    assert text.startswith("Effort: low")
    assert notices == (NO_SWITCH,)


def test_a_switch_that_counts_only_without_a_system_message_is_told_of_with_one() -> None:
    source = "{% if messages[0].role != 'system' and thinking %}Think.{% endif %}" + templates.CHATML
    assert rendered(source, "on") == ("Think." + rendered(templates.CHATML, "auto")[0], ())
    assert rendered(source, "on", system=True)[1] == (NO_SWITCH,)
