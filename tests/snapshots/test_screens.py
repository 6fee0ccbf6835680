"""How the screens look, in text and style. A change that is meant: `just snap`, and look at the difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.color import ColorSystem
from textual.widgets import OptionList

from engine.events import Notice
from engine.host.topology import Room
from engine.messages import Role
from engine.metrics.history import Window
from engine.metrics.snapshot import Phase
from engine.models.check import check_model
from engine.models.fit import TooLargeError, fit
from engine.models.memory import predict
from engine.paths import models_dir
from engine.presets.preset import Preset
from engine.records import Message
from engine.session.instruments import Instruments
from tests.engine.metrics.scripted import ScriptedSession
from tests.engine.models import raw_gguf
from tests.engine.profiling.captures import record
from tests.fake_backend import FakeBackend
from tests.snapshots.picture import compare
from tests.tui.host import Host, wait_until
from tests.tui.program import program
from tui.choices import KnownModel
from tui.dialogs.confirm import Confirm
from tui.drawing.braille import Glyphs
from tui.flame.screen import FlameScreen
from tui.flame.subject import CaptureSubject, DiffSubject
from tui.models.too_large import TooLargeScreen
from tui.panel.chart_screen import ChartScreen
from tui.panel.panel import Panel
from tui.panel.speed import SPEED
from tui.transcript.transcript import Transcript

MARKDOWN = """\
# The KV cache

It keeps **keys** and *values* of every token, see [the paper](https://example.org).

1. prefill fills it
2. decode reads it

```python
def fits(tokens: int, n_ctx: int) -> bool:
    return tokens < n_ctx  # room for one more
```

| quant | bytes |
| --- | ---: |
| `Q4_K_M` | 2.5 GB |

> Half of it is enough.
"""


def conversation() -> list[Message]:
    return [
        Message(1, None, Role.USER, "What is the KV cache?"),
        Message(2, 1, Role.ASSISTANT, MARKDOWN, thinking="The user asks about\nthe cache."),
        Message(3, 2, Role.USER, "And 日本語 or 👍🏽?"),
        Message(4, 3, Role.ASSISTANT, "Both are two cells wide."),
    ]


@pytest.fixture(autouse=True)
def machine_not_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the first sample of the machine is there yet is a matter of luck, and its figures are of this machine."""

    async def tick(_: Instruments) -> None:
        return

    monkeypatch.setattr(Instruments, "tick", tick)


class TestFirstScreen:
    @pytest.mark.parametrize("size", [(60, 20), (80, 24), (72, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
    @pytest.mark.slow
    async def test_before_a_model_is_loaded(self, size: tuple[int, int]) -> None:
        backend = FakeBackend()
        backend.load_gate.clear()
        async with program(backend, size=size, ready=False) as run:
            await run.until("50%")
            await wait_until(run.pilot, lambda: run.chat.panel.widget is not None, "the panel is mounted")
            await run.pilot.pause()
            compare(run.app, f"first-{size[0]}x{size[1]}")
            backend.load_gate.set()
            await wait_until(run.pilot, lambda: run.session.engine is not None, "the model is loaded")

    @pytest.mark.slow
    @pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
    async def test_an_empty_conversation_once_the_model_is_loaded(self, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tui.chat.welcome.read_room", lambda: Room(12 * 10**9, 16 * 10**9, limited=False))
        async with program(size=size) as run:
            await run.until("of this machine's 16.0 GB")
            await wait_until(run.pilot, lambda: run.chat.panel.widget is not None, "the panel is mounted")
            await run.pilot.pause()
            compare(run.app, f"card-{size[0]}x{size[1]}")


class TestTranscript:
    @pytest.mark.parametrize("theme", ["dark", "light", "contrast", "terminal"])
    async def test_a_conversation_in_each_theme(self, theme: str) -> None:
        transcript = Transcript()
        host = Host(transcript, theme=theme)
        async with host.run_test(size=(70, 40)) as pilot:
            transcript.show(conversation(), {})
            await pilot.pause()
            compare(host, f"transcript-{theme}")

    async def test_what_a_terminal_of_16_colours_gets_of_a_theme_of_many(self) -> None:
        transcript = Transcript()
        host = Host(transcript)
        async with host.run_test(size=(70, 40)) as pilot:
            transcript.show(conversation(), {})
            await pilot.pause()
            compare(host, "transcript-16-colours", ColorSystem.STANDARD)

    async def test_an_answer_that_grows(self) -> None:
        transcript = Transcript()
        host = Host(transcript)
        async with host.run_test(size=(70, 14)) as pilot:
            transcript.show(conversation()[:1], {})
            transcript.begin_answer(2)
            transcript.grow(2, "", "The user asks", in_thinking=True)
            transcript.grow(2, "The **KV cache** keeps\n\n* keys\n* val", "", in_thinking=False)
            await pilot.pause()
            compare(host, "answer-grows")


class TestPanel:
    @pytest.mark.parametrize("size", [(40, 36), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
    async def test_while_an_answer_grows(self, size: tuple[int, int]) -> None:
        panel, session = Panel(), ScriptedSession()
        host = Host(panel)
        async with host.run_test(size=size) as pilot:
            for _ in range(60):
                panel.show(session.step())
            await pilot.pause()
            compare(host, f"panel-{size[0]}x{size[1]}")

    async def test_in_two_columns_after_two_turns(self) -> None:
        panel, session = Panel(), ScriptedSession()
        host = Host(panel)
        async with host.run_test(size=(82, 44)) as pilot:
            for _ in range(100):
                panel.show(session.step())
            await pilot.pause()
            compare(host, "panel-82x44")

    async def test_at_rest_on_a_light_page(self) -> None:
        panel, session = Panel(), ScriptedSession()
        host = Host(panel, theme="light")
        async with host.run_test(size=(46, 34)) as pilot:
            now = session.step()
            panel.show(replace(now, phase=Phase.IDLE, roofline=None, markers=(), alerts=(), noisy=None))
            await pilot.pause()
            compare(host, "panel-rest")

    async def test_one_pane_fills_it_on_a_slow_line(self) -> None:
        panel, session = Panel(slow=True), ScriptedSession()
        host = Host(panel)
        async with host.run_test(size=(70, 20)) as pilot:
            for _ in range(60):
                panel.show(session.step())
            panel.action_step(3)
            panel.action_expand_pane()
            await pilot.pause()
            compare(host, "panel-expanded")

    @pytest.mark.parametrize("depth", [ColorSystem.TRUECOLOR, ColorSystem.STANDARD], ids=["colours", "16-colours"])
    async def test_a_large_chart(self, depth: ColorSystem) -> None:
        session = ScriptedSession()
        now = [session.step() for _ in range(100)][-1]
        host = Host()
        async with host.run_test(size=(100, 24)) as pilot:
            assert SPEED.chart is not None
            await host.push_screen(ChartScreen("Speed", SPEED.chart, lambda: now, window=Window.MINUTE, glyphs=Glyphs.BRAILLE))
            await pilot.pause()
            compare(host, f"chart-large{'' if depth is ColorSystem.TRUECOLOR else '-16-colours'}", depth)


class TestChat:
    @pytest.mark.slow
    async def test_an_answer_with_a_notice_above_the_message(self) -> None:
        backend = FakeBackend(script=["The ", "**KV cache** ", "keeps keys and values."], gated=True)
        async with program(backend, size=(80, 24)) as run:
            await run.send("What is the KV cache?")
            backend.release(2)
            await run.until("KV cache")
            run.app.show_notice(Notice("warning", "Memory is 91 % full", "alert above 90 %", "Take a smaller quant"))
            await run.until("Memory is 91 % full")
            await run.until("Esc Stop")
            compare(run.app, "answering-80x24")
            backend.release(9)
            await run.answered()


class TestFlamegraph:
    @pytest.mark.parametrize("size", [(60, 20), (120, 30)], ids=lambda size: f"{size[0]}x{size[1]}")
    async def test_a_capture(self, size: tuple[int, int]) -> None:
        host = Host()
        async with host.run_test(size=size) as pilot:
            await host.push_screen(FlameScreen(CaptureSubject(record(model="tiny", quant="Q4_K_M", preset="daily", tokens=120))))
            await pilot.pause()
            compare(host, f"flame-{size[0]}x{size[1]}")

    async def test_a_difference(self) -> None:
        before, after = record(b"thread: t;run;old 10\nthread: t;run;same 20", tokens=100), record(b"thread: t;run;new 30", tokens=100)
        host = Host()
        async with host.run_test(size=(100, 24)) as pilot:
            await host.push_screen(FlameScreen(DiffSubject(before, after)))
            await pilot.pause()
            compare(host, "flame-difference")


class TestDialogs:
    async def test_a_question_at_60_columns(self) -> None:
        host = Host()
        async with host.run_test(size=(60, 16)) as pilot:
            question = Confirm("Delete this session?", "6 messages of all branches, 3 turns and 40 samples go for good.", yes="Delete")
            await host.push_screen(question)
            await pilot.pause()
            compare(host, "confirm-60")

    @pytest.mark.parametrize(("name", "action"), [("help", "help"), ("palette", "palette"), ("themes", "theme")])
    @pytest.mark.slow
    async def test_lists_at_60_columns(self, name: str, action: str) -> None:
        async with program(size=(60, 24)) as run:
            run.app.do(action)
            await wait_until(run.pilot, lambda: len(run.app.screen_stack) > 2, f"{name} is open")
            await run.pilot.pause()
            compare(run.app, f"{name}-60")


class TestPickers:
    """Lists of what is on the machine, at 60 columns."""

    @pytest.mark.slow
    async def test_models(self) -> None:
        known = [KnownModel(Path(f"/models/{name}.gguf"), name, quant=quant) for name, quant in (("One 1B", "Q4_K_M"), ("Two 2B", "Q8_0"))]
        async with program(size=(60, 24), known_models=lambda: known) as run:
            run.app.do("models")
            await run.until("Two 2B")
            compare(run.app, "models-60")

    @pytest.mark.slow
    async def test_presets(self) -> None:
        async with program(size=(60, 24)) as run:
            run.app.do("presets")
            await run.until("daily")
            await run.pilot.press(*"low-memory")  # the windows of the others depend on this machine
            listed = run.app.screen.query_one(OptionList)
            await wait_until(run.pilot, lambda: listed.option_count == 1, "only one preset is listed")
            compare(run.app, "presets-60")

    async def test_ways_out_when_a_model_is_too_large(self) -> None:
        facts = check_model(raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")).facts
        needed = predict(facts, Preset(), features=()).needed
        verdict = fit(facts, Preset(), Room(available=needed - 1, total=needed, limited=False), features=())
        host = Host()
        async with host.run_test(size=(60, 24)) as pilot:
            await host.push_screen(TooLargeScreen(TooLargeError("tiny-Q8_0.gguf", verdict)))
            await pilot.pause()
            compare(host, "too-large-60")


class TestFewColours:
    @pytest.mark.parametrize(
        ("name", "environment"),
        [("no-color", {"TERM": "xterm-256color", "NO_COLOR": "1"}), ("16-colours", {"TERM": "linux"})],
    )
    @pytest.mark.slow
    async def test_the_first_screen(self, name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        backend = FakeBackend()
        backend.load_gate.clear()
        async with program(backend, size=(80, 20), ready=False, environment=environment) as run:
            await run.until("50%")
            compare(run.app, f"first-{name}")
            backend.load_gate.set()
            await wait_until(run.pilot, lambda: run.session.engine is not None, "the model is loaded")
