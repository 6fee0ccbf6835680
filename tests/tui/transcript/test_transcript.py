"""The conversation on the screen: inert, complete, anchored, and quick however long it is."""

from __future__ import annotations

import pytest
from textual.geometry import Offset
from textual.selection import Selection

from engine.messages import Role
from engine.records import Message
from tests.tui.host import Host, column_lines, numbered, screen_lines, screen_text, talk, wait_until
from tui.transcript.blocks import Block
from tui.transcript.transcript import Extras, Transcript
from tui.transcript.welcome import WelcomeLine

HOSTILE = (
    "\x1b]52;c;aGk=\x07\x1b[2J [red]markup[/red] [@click=app.quit]x[/] <script>html</script> "
    "&#27;[31m &#x202e; [a](http://x.y/\x1b[0m) ![p](q)"
)


def answer(text: str, answer_id: int = 99, thinking: str = "") -> Message:
    return Message(id=answer_id, parent_id=1, role=Role.ASSISTANT, text=text, thinking=thinking)


async def test_what_a_model_emits_is_shown_and_never_acted_on() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(120, 20)) as pilot:
        transcript.show(talk(HOSTILE, HOSTILE), {})
        await pilot.pause()
        text = screen_text(app)
        for shown in ("␛]52;c;aGk=␇␛[2J", "[red]markup[/red]", "[@click=app.quit]x[/]", "<script>html</script>"):
            assert text.count(shown) == 2
        segments = [segment for strip in app.screen._compositor.render_strips() for segment in strip]
        assert not any(character < " " or "\x7f" <= character < "\xa0" for segment in segments for character in segment.text)
        assert not any(segment.style and segment.style.link for segment in segments)
        assert not any("@click" in (segment.style.meta if segment.style else {}) for segment in segments)


async def test_wide_joined_and_combining_characters_keep_the_right_edge_straight() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(60, 12)) as pilot:
        transcript.show(talk("日本語 " * 30, "👨\u200d👩\u200d👧 e\u0301 ❤\ufe0f שלום | x\n" * 6), {})
        await pilot.pause()
        assert {strip.cell_length for strip in app.screen._compositor.render_strips()} == {60}


@pytest.mark.parametrize("step", [1, 3, 16, 1000])
async def test_the_end_of_an_answer_is_never_lost_whatever_arrives_together(step: int) -> None:
    transcript = Transcript()
    app = Host(transcript)
    text = "Some prose.\n\n```python\n" + "".join(f"line_{n} = {n}\n" for n in range(40)) + "```\n\n- a\n- b\n\nThe very end."
    async with app.run_test(size=(80, 24)) as pilot:
        transcript.show(talk("question"), {})
        transcript.begin_answer(99)
        for begin in range(0, len(text), step):
            transcript.grow(99, text[begin : begin + step], "", in_thinking=False)
        await pilot.pause()
        streamed = screen_lines(app)
        assert any("The very end." in line for line in streamed)
        transcript.finish(answer(text), Extras())
        await pilot.pause()
        assert [line for line in screen_lines(app) if line] == [line for line in streamed if line]


async def test_at_the_end_the_authoritative_text_replaces_what_was_streamed() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 12)) as pilot:
        transcript.begin_answer(99)
        transcript.grow(99, "streamed wrongly", "", in_thinking=False)
        transcript.finish(answer("as the engine has it"), Extras(note="3 tokens", failure="Stopped."))
        await pilot.pause()
        text = screen_text(app)
        assert "streamed" not in text
        for shown in ("as the engine has it", "3 tokens", "Stopped."):
            assert shown in text


async def test_the_view_follows_the_end_until_the_person_scrolls_up_and_again_after_jumping_to_the_end() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 12)) as pilot:
        transcript.show(list(numbered(40)), {})
        transcript.begin_answer(99)
        await pilot.pause()
        transcript.scroll_pages(-1)
        await pilot.pause()
        before = column_lines(app)
        transcript.grow(99, "new text\n\n" * 30, "", in_thinking=False)
        await pilot.pause()
        assert column_lines(app) == before
        assert not transcript.following
        transcript.to_end()
        await pilot.pause()
        assert "new text" in screen_text(app)
        transcript.grow(99, "the newest", "", in_thinking=False)
        await pilot.pause()
        assert "the newest" in screen_text(app)


async def test_paging_to_the_start_shows_every_line_once_and_in_order() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 20)) as pilot:
        transcript.show(list(numbered(60, lines=7)), {})
        await pilot.pause()
        seen = [line for line in column_lines(app) if "line" in line]
        for _ in range(200):
            y = transcript.scroll_offset.y
            transcript.scroll_pages(-0.5)
            await pilot.pause()
            page = [line for line in column_lines(app) if "line" in line]
            overlap = next(count for count in range(min(len(page), len(seen)), -1, -1) if page[len(page) - count :] == seen[:count])
            assert overlap
            seen = page[: len(page) - overlap] + seen
            if transcript.scroll_offset.y == 0 and y == 0:
                break
        numbers = [tuple(int(word) for word in line.replace("▎", " ").split() if word.isdigit()) for line in seen]
        assert numbers == [(message, line) for message in range(60) for line in range(7)]


async def test_opening_a_long_session_renders_its_end_and_nothing_else() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 24)) as pilot:
        transcript.show(list(numbered(2000)), {})
        await pilot.pause()
        assert "message 1999 line 3" in screen_text(app)
        blocks = [block for entry in transcript._layout.entries for block in entry.blocks()]
        assert sum(block._lines is not None for block in blocks) < 60


async def test_a_resize_keeps_the_line_at_the_top_and_wraps_anew() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(100, 20)) as pilot:
        transcript.show(talk(*(f"start{n} " + "word " * 60 for n in range(40))), {})
        await pilot.pause()
        transcript.to_start()
        for _ in range(4):
            transcript.scroll_pages(1)
        await pilot.pause()
        marker = next(word for line in screen_lines(app) for word in line.split() if word.startswith("start"))
        await pilot.resize_terminal(50, 20)
        await wait_until(pilot, lambda: all(len(line) <= 50 for line in screen_lines(app)))
        assert marker in screen_text(app)


async def test_thinking_is_folded_to_one_line_and_unfolds() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 14)) as pilot:
        transcript.begin_answer(99)
        transcript.grow(99, "", "let me see\nyes", in_thinking=True)
        await pilot.pause()
        assert "Thinking… 4 words" in screen_text(app)
        assert "let me see" not in screen_text(app)
        transcript.grow(99, "The answer", "", in_thinking=False)
        transcript.fold_thinking()
        await pilot.pause()
        assert "Thought, 4 words" in screen_text(app)
        assert "│ let me see" in screen_text(app)
        transcript.finish(answer("The answer", thinking="let me see\nyes"), Extras())
        await pilot.pause()
        assert "│ yes" in screen_text(app)


async def test_an_answer_that_turns_out_to_have_been_thinking_is_shown_as_that() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 14)) as pilot:
        transcript.begin_answer(99)
        transcript.grow(99, "hmm let me see", "", in_thinking=False)
        transcript.grow(99, "It is four.", "hmm let me see", in_thinking=False, anew=True)
        await pilot.pause()
        text = screen_text(app)
        assert "Thought, 4 words" in text
        assert "It is four." in text
        assert "hmm" not in text


async def test_messages_are_picked_with_the_keyboard_and_marked() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 14)) as pilot:
        transcript.show(list(numbered(20)), {})
        await pilot.pause()
        transcript.choose_step(-1)
        transcript.choose_step(-1)
        await pilot.pause()
        assert transcript.chosen_id == 19
        assert any(line.startswith("▌") and "message 18" in line for line in screen_lines(app))
        transcript.choose_step(1)
        transcript.choose_step(1)
        assert transcript.chosen_id is None


async def test_siblings_timings_and_who_answered_stand_beside_the_message() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 14)) as pilot:
        transcript.show(talk("q", "a"), {2: Extras(label="Qwen3", aside="2/3", note="12 tokens, 60 tokens/s")})
        await pilot.pause()
        text = screen_text(app)
        assert "Qwen3  2/3" in text
        assert "12 tokens, 60 tokens/s" in text


async def test_another_branch_keeps_what_it_has_in_common() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 14)) as pilot:
        one = talk("q", "first answer")
        transcript.show(one, {})
        kept = transcript._layout.entries[0]
        transcript.show([one[0], answer("second answer", 7)], {})
        await pilot.pause()
        assert transcript._layout.entries[0] is kept
        assert "second answer" in screen_text(app)
        assert "first answer" not in screen_text(app)


async def test_selected_text_is_copied_without_gutter_and_padding() -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 14)) as pilot:
        transcript.show(talk("first\nsecond\nthird"), {})
        await pilot.pause()
        keys = transcript._shown_keys
        assert transcript.get_selection(Selection(Offset(4, keys[1]), Offset(5, keys[3]))) == ("rst\nsecond\nthi", "\n")


async def test_only_rows_that_changed_are_painted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 24)) as pilot:
        transcript.begin_answer(99)
        transcript.grow(99, "A line of text", "", in_thinking=False)
        await pilot.pause()
        regions: list[object] = []
        monkeypatch.setattr(transcript, "refresh", lambda *given, **_: regions.extend(given))
        transcript.grow(99, " and more", "", in_thinking=False)
        assert len(regions) == 1


async def test_a_renderer_that_fails_does_not_take_the_text_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("tui.transcript.markdown.markdown_lines", fail)
    transcript = Transcript()
    app = Host(transcript)
    async with app.run_test(size=(80, 14)) as pilot:
        transcript.show(talk("q", "the *text* itself"), {})
        await pilot.pause()
        assert "the *text* itself" in screen_text(app)


async def test_an_empty_conversation_shows_how_to_begin() -> None:
    transcript = Transcript()
    transcript.show_welcome([WelcomeLine((("Write a message", "muted"),))])
    app = Host(transcript)
    async with app.run_test(size=(40, 9)) as pilot:
        await pilot.pause()
        assert "Write a message" in screen_text(app)


def test_the_estimate_of_an_unseen_block_needs_no_rendering() -> None:
    from tui.transcript.blocks import Kind

    block = Block(Kind.PLAIN, "x" * 1000, gap=1)
    assert 8 <= block.height(120, None) <= 14  # type: ignore[arg-type]
