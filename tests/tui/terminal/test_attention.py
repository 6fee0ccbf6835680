"""The title says what the model does, and the end of a long answer calls whoever looks at something else."""

from __future__ import annotations

import pytest

from engine.clock import NS_PER_S
from engine.config import NotifyConfig
from engine.events import AnswerGrew, Event, ModelReady, TurnFinished, TurnStarted
from engine.messages import Role
from engine.records import Message
from tests.factories import engine_info, model_info, turn_record
from tui.terminal.attention import Attention


class Watched:
    """What was written, under a clock of the test's own."""

    def __init__(self, config: NotifyConfig = NotifyConfig(), *, looked_at: bool = False, tmux: bool = False, name: str = "tiny") -> None:  # noqa: B008
        self.written: list[str] = []
        self.now = 0
        self.attention = Attention(
            config,
            write=self.written.append,
            looked_at=lambda: looked_at,
            environ={"TMUX": "/tmp/tmux"} if tmux else {},
            clock=lambda: self.now,
        )
        self.send(ModelReady(engine_info(model_info(name=name))))

    def send(self, event: Event) -> None:
        self.attention.on_event(event)

    def answer(self, seconds: int) -> str:
        """Answer for so long; return what was written."""
        self.written.clear()
        self.send(TurnStarted(Message(1, None, Role.USER, "Hi"), 2, 0, 0))
        for _ in range(seconds):
            self.now += NS_PER_S
            self.send(AnswerGrew(2, "x", "", in_thinking=False, token_ns=(self.now,), context_used=1))
        self.send(TurnFinished(Message(2, 1, Role.ASSISTANT, "x"), turn_record(), None))
        return "".join(self.written)


def test_a_long_answer_rings_notifies_and_marks_the_title_only_while_nobody_looks() -> None:
    away = Watched().answer(30)
    assert "\x1b]2;3 tokens - tiny - xchat\a" in away
    assert away.endswith(
        "\x1b]2;answered - tiny - xchat\a\a\x1b]9;tiny: the answer is finished\a\x1b]777;notify;xchat;tiny: the answer is finished\a"
    )
    assert "]9;" not in Watched(looked_at=True).answer(30)
    assert "]9;" not in Watched().answer(5)


@pytest.mark.parametrize(
    ("config", "absent"),
    [(NotifyConfig(bell=False), "\a\a"), (NotifyConfig(desktop=False), "]777"), (NotifyConfig(title=False), "]2;")],
    ids=["bell", "desktop", "title"],
)
def test_each_sign_can_be_switched_off(config: NotifyConfig, absent: str) -> None:
    assert absent in Watched().answer(30)
    assert absent not in Watched(config).answer(30)


def test_tmux_passes_notifications_on() -> None:
    assert "\x1bPtmux;\x1b\x1b]9;tiny: the answer is finished\a\x1b\\" in Watched(tmux=True).answer(30)


def test_a_hostile_name_of_a_model_ends_no_sequence() -> None:
    written = Watched(name="a\a\x1b]0;evil\x9c;b").answer(30)
    assert "\x1b]0;" not in written
    assert "\x9c" not in written


def test_the_title_before_is_kept_and_given_back() -> None:
    watched = Watched()
    assert watched.written[0].startswith("\x1b[22;2t\x1b]2;tiny - xchat")
    watched.attention.close()
    assert watched.written[-1] == "\x1b[23;2t"
