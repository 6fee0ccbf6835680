"""The facade, on a backend that says a script and a real SQLite file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.backend import StopReason
from engine.chat.thinking import Split, ThinkingParser
from engine.config import Config
from engine.errors import EngineError, ModelError, UsageError
from engine.events import (
    AnswerGrew,
    BranchChanged,
    EngineDied,
    Event,
    ModelFailed,
    ModelReady,
    PromptEvaluated,
    TurnFinished,
    TurnStarted,
)
from engine.messages import Role
from engine.presets.preset import Preset
from engine.records import MessageStatus
from engine.session.open import open_session
from engine.store.queries.sessions import read_session
from tests.engine.session.watched import MODEL, Watched
from tests.fake_backend import ENGINE_DIED, FakeBackend


class TestTalking:
    async def test_a_turn_is_told_in_order_and_ends_with_the_whole_answer(self, watched: Watched) -> None:
        end = await watched.answered(watched.session.send("Hi"))

        kinds = [type(event) for event in watched.events]
        assert kinds[0] is TurnStarted
        assert kinds[-1] is TurnFinished
        assert kinds.index(PromptEvaluated) < kinds.index(AnswerGrew)
        assert "".join(event.text for event in watched.events if isinstance(event, AnswerGrew)) == end.answer.text == "Hello there."
        assert [message.role for message in watched.session.branch] == [Role.USER, Role.ASSISTANT]
        assert end.turn.timings.predicted_n == 3
        assert end.turn.timings.itl_p50_ms == pytest.approx(20.0)

    async def test_the_model_sees_the_conversation_so_far(self, watched: Watched) -> None:
        await watched.answered(watched.session.send("First"))
        await watched.answered(watched.session.send("Second"))

        assert "First" in watched.session.turns.last_prompt
        assert "Hello there." in watched.session.turns.last_prompt
        assert watched.session.turns.last_prompt.endswith("<|im_start|>assistant\n")

    async def test_thinking_is_kept_apart_from_the_answer(self, watched: Watched) -> None:
        watched.backend.script = ("<think>", "hm", "</think>", "\n\n", "Yes")
        end = await watched.answered(watched.session.send("Hi"))

        assert (end.answer.thinking.strip(), end.answer.text) == ("hm", "Yes")
        assert end.turn.thinking_n == 4
        assert end.turn.first_visible_ms is not None
        assert end.turn.timings.ttft_ms is not None
        assert end.turn.first_visible_ms > end.turn.timings.ttft_ms

    async def test_a_listener_that_fails_does_not_hold_the_rest_of_the_answer_back(self, watched: Watched) -> None:
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))

        def fail_once(event: Event) -> None:
            if isinstance(event, AnswerGrew) and not faults:
                raise ValueError("a fault of the screen")

        watched.session.subscribe(fail_once)
        end = await watched.answered(watched.session.send("Hi"))

        assert end.answer.text == "Hello there."
        assert [str(fault) for fault in faults] == ["a fault of the screen"]

    @pytest.mark.parametrize("fault", ["the last text", "a listener of it", "a listener of the end"])
    async def test_a_fault_at_the_end_of_a_turn_leaves_the_session_ready(
        self, watched: Watched, fault: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))

        def fail(event: Event) -> None:
            if isinstance(event, TurnFinished if fault == "a listener of the end" else AnswerGrew) and not watched.of(TurnFinished):
                raise ValueError("a fault")

        def finish(parser: ThinkingParser, tail: str) -> Split:
            raise ValueError("a fault")

        watched.backend.script = ("Hello", " <th")  # held back until the end: it may begin a marker
        with monkeypatch.context() as patch:
            if fault == "the last text":
                patch.setattr(ThinkingParser, "finish", finish)
            else:
                watched.session._listeners.insert(0, fail)
            end = await watched.answered(watched.session.send("Hi"))
        assert end.answer.text.startswith("Hello")
        assert faults
        assert not watched.session.busy
        assert (await watched.answered(watched.session.send("Again"))).answer.text.startswith("Hello")
        await watched.session.library.logged()
        stored = await watched.session.library.reader.read(read_session, watched.session.session_id or 0)
        assert [message.text for message in stored.messages][::2] == ["Hi", "Again"]
        assert not stored.info.interrupted

    async def test_a_stopped_answer_keeps_what_came(self, watched: Watched) -> None:
        watched.backend.gated = True
        answer_id = watched.session.send("Hi")
        watched.backend.release(1)
        await watched.until(lambda event: isinstance(event, AnswerGrew))
        watched.session.stop()
        end = await watched.answered(answer_id)

        assert end.turn.stop_reason is StopReason.CANCELLED
        assert (end.answer.text, end.answer.status) == ("Hello", MessageStatus.PARTIAL)

    async def test_a_second_message_waits_its_turn_with_a_clear_word(self, watched: Watched) -> None:
        watched.backend.gated = True
        watched.session.send("Hi")
        with pytest.raises(UsageError, match="being written"):
            watched.session.send("And?")
        with pytest.raises(UsageError, match="being written"):
            await watched.session.load(MODEL)

    async def test_nothing_empty_is_sent(self, watched: Watched) -> None:
        with pytest.raises(UsageError, match="empty"):
            watched.session.send("  \n")

    async def test_a_message_too_long_for_the_window_is_refused_with_the_numbers(self, watched: Watched) -> None:
        end = await watched.answered(watched.session.send("x" * 50_000))
        assert end.turn.stop_reason is StopReason.ERROR
        assert isinstance(end.error, EngineError)
        assert "4,096" in str(end.error) or "4096" in str(end.error)

    async def test_old_turns_are_left_out_of_the_prompt_but_not_of_the_conversation(self, watched: Watched) -> None:
        for number in range(4):
            await watched.answered(watched.session.send(f"message {number} " + "y" * 1200))
        last = watched.of(PromptEvaluated)[-1]
        assert isinstance(last, PromptEvaluated)
        assert last.left_out > 0
        assert "message 0" not in watched.session.turns.last_prompt
        assert len(watched.session.branch) == 8


class TestBranches:
    async def test_regenerate_keeps_the_old_answer_as_a_sibling(self, watched: Watched) -> None:
        first = watched.session.send("Hi")
        await watched.answered(first)
        watched.backend.script = ("Good", " day")
        second = watched.session.regenerate()
        await watched.answered(second)

        assert watched.session.turns.conversation.siblings(second) == (1, 2)
        watched.session.switch_sibling(second, -1)
        assert [message.text for message in watched.session.branch] == ["Hi", "Hello there."]
        assert isinstance(watched.events[-1], BranchChanged)

    async def test_edit_makes_a_branch_with_its_own_answer(self, watched: Watched) -> None:
        await watched.answered(watched.session.send("Hi"))
        user = watched.session.branch[0]
        await watched.answered(watched.session.edit(user.id, "Hello"))

        assert [message.text for message in watched.session.branch] == ["Hello", "Hello there."]
        watched.session.switch_sibling(watched.session.branch[0].id, -1)
        assert watched.session.branch[0].text == "Hi"

    async def test_answers_cannot_be_edited(self, watched: Watched) -> None:
        await watched.answered(watched.session.send("Hi"))
        with pytest.raises(UsageError, match="your own"):
            watched.session.edit(watched.session.branch[1].id, "No")

    async def test_continue_goes_on_where_the_answer_was_cut(self, watched: Watched) -> None:
        watched.backend.reason = StopReason.LENGTH
        await watched.answered(watched.session.send("Hi"))
        watched.backend.script, watched.backend.reason = (" Bye", "."), StopReason.EOG
        end = await watched.answered(watched.session.continue_answer())

        assert end.answer.text == "Hello there. Bye."
        assert watched.session.turns.last_prompt.endswith("Hello there.")
        with pytest.raises(UsageError, match="partial answer"):
            watched.session.continue_answer()


class TestTrouble:
    async def test_without_a_model_the_way_out_is_named(self) -> None:
        session = await open_session(Preset(), Config(), backend=FakeBackend(), log=False)
        with pytest.raises(EngineError, match="pick one") as refused:
            session.send("Hi")
        assert refused.value.action == "models"
        await session.close()

    async def test_a_failed_load_keeps_the_model_before(self, watched: Watched) -> None:
        watched.backend.load_error = ModelError("broken.gguf is truncated")
        with pytest.raises(ModelError):
            await watched.session.load(Path("/models/broken.gguf"))
        failed = watched.events[-1]
        assert isinstance(failed, ModelFailed)
        assert failed.engine is not None
        assert (await watched.answered(watched.session.send("Hi"))).answer.text

    async def test_a_dead_engine_saves_the_answer_and_says_so_once(self, watched: Watched) -> None:
        watched.backend.gated = True
        answer_id = watched.session.send("Hi")
        watched.backend.release(1)
        await watched.until(lambda event: isinstance(event, AnswerGrew))
        watched.backend.die(ENGINE_DIED)
        end = await watched.answered(answer_id)
        await watched.until(lambda event: isinstance(event, EngineDied))

        assert (end.answer.text, end.answer.status) == ("Hello", MessageStatus.FAILED)
        with pytest.raises(EngineError, match="died"):
            watched.session.send("Again")


class TestSettings:
    async def test_the_knob_turns_while_tokens_flow(self, watched: Watched) -> None:
        watched.session.slot.set_stream_batch(16)
        assert watched.backend.stream_batch == 16
        watched.session.slot.set_stream_batch("auto")
        watched.session.slot.pace(2)
        assert (watched.session.preset.stream_batch, watched.session.slot.stream_batch, watched.backend.stream_batch) == ("auto", 2, 2)

    async def test_a_hot_change_does_not_reload(self, watched: Watched) -> None:
        watched.session.switching.use(Preset(threads=1))
        assert [preset.threads for preset in watched.backend.hot] == [1]

    async def test_a_dear_change_waits_for_the_end_of_the_answer(self, watched: Watched) -> None:
        watched.backend.gated = True
        answer_id = watched.session.send("Hi")
        watched.session.switching.use(Preset(n_ctx=512))
        assert watched.session.preset.n_ctx == "auto"
        watched.backend.release(3)
        await watched.answered(answer_id)
        await watched.until(lambda event: isinstance(event, ModelReady))
        assert watched.session.preset.n_ctx == 512
