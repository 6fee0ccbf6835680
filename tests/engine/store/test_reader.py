from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Message
from engine.store.erase import Contents, contents_of
from engine.store.errors import SessionMissingError
from engine.store.export.run_card import GOVERNOR_KIND, run_cards
from engine.store.export.tables import Selection
from engine.store.queries.match import fts_query
from engine.store.queries.search import HIT_END, HIT_START, search_messages
from engine.store.queries.sessions import (
    SessionFilter,
    filter_choices,
    find_sessions,
    newest_session,
    page_of_branch,
    read_session,
)
from engine.store.queries.turns import Variant, turns_of_variant, variants_of
from engine.store.reader import Reader
from engine.store.writer import Store
from tests.engine.store.records import answer, sample, turn, user


async def add(store: Store, text: str, *, at_ms: int = 1_000, model: str = "Tiny", quant: str = "Q4_K_M", preset: str = "daily") -> int:
    session_id = await store.create_session(text, at_ms)
    asked = user(text, created_ms=at_ms)
    said = answer("Noted.", asked.id, created_ms=at_ms)
    await store.save_message(session_id, asked)
    await store.save_turn(replace(turn(session_id, said, asked=asked), model=model, quant=quant, preset=preset), said)
    return session_id


async def ids(reader: Reader, wanted: SessionFilter | None = None) -> list[int]:
    return [info.id for info in await reader.read(find_sessions, wanted)]


async def test_the_list_is_newest_first_with_pinned_sessions_on_top(store: Store, reader: Reader) -> None:
    old, middle, new = [await add(store, "x", at_ms=moment) for moment in (1, 2, 3)]
    assert await ids(reader) == [new, middle, old]
    await store.pin(old, True)
    assert await ids(reader) == [old, new, middle]


async def test_the_list_comes_in_pages(store: Store, reader: Reader) -> None:
    made = [await add(store, "x", at_ms=moment) for moment in range(5)]
    pages = [await reader.read(find_sessions, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [info.id for page in pages for info in page] == made[::-1]


async def test_the_list_is_filtered_by_model_quant_preset_and_date(store: Store, reader: Reader) -> None:
    first = await add(store, "x", at_ms=10, model="A", quant="Q8_0", preset="fast")
    second = await add(store, "x", at_ms=20, model="B", quant="Q4_K_M", preset="daily")
    assert await ids(reader, SessionFilter(model="A")) == [first]
    assert await ids(reader, SessionFilter(quant="Q4_K_M")) == [second]
    assert await ids(reader, SessionFilter(preset="fast", model="B")) == []
    assert await ids(reader, SessionFilter(since_ms=20)) == [second]
    assert await ids(reader, SessionFilter(until_ms=20)) == [first]
    choices = await reader.read(filter_choices)
    assert (choices.models, choices.quants, choices.presets) == (("A", "B"), ("Q4_K_M", "Q8_0"), ("daily", "fast"))


async def test_the_last_session_is_the_one_changed_last(store: Store, reader: Reader) -> None:
    assert await reader.read(newest_session) is None
    newest = await add(store, "x", at_ms=9)
    pinned = await add(store, "x", at_ms=1)
    await store.pin(pinned, True)
    last = await reader.read(newest_session)
    assert last is not None
    assert last.id == newest


async def test_search_marks_the_hits_and_puts_the_best_message_first(store: Store, reader: Reader) -> None:
    weak = await add(store, "A llama is mentioned once in this rather long sentence about something else entirely.")
    strong = await add(store, "llama llama llama")
    await add(store, "nothing of the kind")
    hits = await reader.read(search_messages, SessionFilter(search="LLAMA"))
    assert [hit.session.id for hit in hits] == [strong, weak]
    assert f"A {HIT_START}llama{HIT_END} is" in hits[1].snippet


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("quick fox", True),
        ("fox quick", True),
        ('"quick fox"', False),
        ('"quick brown"', True),
        ("qui", True),
        ("qu", True),
        ("q", False),
        ("qui ", False),
        ("brown dog", False),
        ("cafe", True),
        ("OR", False),
    ],
)
async def test_all_words_must_occur_quoted_ones_together_and_the_last_may_be_unfinished(
    store: Store, reader: Reader, text: str, found: bool
) -> None:
    session_id = await add(store, "the quick brown fox in the café")
    await store.rename(session_id, "untitled")
    assert bool(await reader.read(search_messages, SessionFilter(search=text))) is found
    assert bool(await ids(reader, SessionFilter(search=text))) is found


async def test_words_in_a_script_without_spaces_are_found_anywhere(store: Store, reader: Reader) -> None:
    session_id = await add(store, "我想知道羊驼是什么动物")
    hits = await reader.read(search_messages, SessionFilter(search="羊驼"))
    assert hits[0].snippet == f"我想知道{HIT_START}羊驼{HIT_END}是什么动物"
    assert await ids(reader, SessionFilter(search="羊驼")) == [session_id]


async def test_a_session_is_found_by_its_title_too(store: Store, reader: Reader) -> None:
    session_id = await add(store, "hello")
    await store.rename(session_id, "100% wool_socks")
    assert await ids(reader, SessionFilter(search="100% wool_")) == [session_id]
    assert await ids(reader, SessionFilter(search="1000 wool")) == []


async def test_search_and_filters_combine(store: Store, reader: Reader) -> None:
    await add(store, "llama", model="A")
    second = await add(store, "llama", model="B")
    assert [hit.session.id for hit in await reader.read(search_messages, SessionFilter(search="llama", model="B"))] == [second]


@given(text=st.text() | st.from_regex(r'[-"*()^:+ANDORNT\s]{0,12}'))
def test_no_input_is_a_syntax_error(text: str) -> None:
    query = fts_query(text)
    if query is not None:
        assert FTS.execute("SELECT count(*) FROM f WHERE f MATCH ?", (query,)).fetchone() == (0,)


FTS = sqlite3.connect(":memory:")
FTS.execute("CREATE VIRTUAL TABLE f USING fts5 (text)")


def test_operators_of_the_index_are_plain_words() -> None:
    assert fts_query('NEAR(a b) text:x "cd') == '"NEAR(a" "b)" "text:x" "cd"*'
    assert fts_query(" ?! ") is None


async def chain(store: Store, session_id: int, length: int) -> list[Message]:
    messages: list[Message] = []
    for index in range(length):
        messages.append(user(str(index), messages[-1].id if messages else None))
        await store.save_message(session_id, messages[-1])
    return messages


async def test_a_long_branch_is_read_in_pages_from_its_end(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("", 1)
    messages = await chain(store, session_id, 25)
    end = await reader.read(page_of_branch, session_id, limit=10)
    before = await reader.read(page_of_branch, session_id, end[0].parent_id, limit=10)
    start = await reader.read(page_of_branch, session_id, before[0].parent_id, limit=10)
    assert [*start, *before, *end] == messages
    assert (start[0].parent_id, len(start)) == (None, 5)


async def test_a_page_follows_the_branch_that_was_looked_at_last(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("", 1)
    asked = user()
    old, new = answer("old", asked.id), answer("new", asked.id)
    for message in (asked, old, new):
        await store.save_message(session_id, message)
    assert await reader.read(page_of_branch, session_id) == (asked, new)
    await store.set_head(session_id, old.id)
    assert await reader.read(page_of_branch, session_id) == (asked, old)


async def test_messages_that_name_each_other_as_parents_do_not_hang_the_reader(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("", 1)
    one, two = user(), user()
    await store.save_message(session_id, replace(one, parent_id=two.id))
    await store.save_message(session_id, replace(two, parent_id=one.id))
    assert len(await reader.read(page_of_branch, session_id, limit=6)) == 6


async def test_a_session_that_is_not_there_is_said_so(reader: Reader) -> None:
    with pytest.raises(SessionMissingError):
        await reader.read(read_session, 7)
    with pytest.raises(SessionMissingError):
        await reader.read(page_of_branch, 7)


async def test_titles_are_searched_alone(store: Store, reader: Reader) -> None:
    named = await add(store, "100% about llamas")
    await add(store, "100 about others")
    assert await ids(reader, SessionFilter(title="0% ABOUT")) == [named]


async def test_what_goes_with_a_session_is_counted_before(store: Store, reader: Reader) -> None:
    gone, stays = await add(store, "x"), await add(store, "y")
    store.put_sample(sample(gone))
    store.put_event(wall_ms=1, session_id=gone, turn_id=None, kind="stall", text="x")
    await store.flush()
    assert await reader.read(contents_of, gone) == Contents(messages=2, turns=1, samples=1, events=1)
    await store.delete_session(gone)
    assert await reader.read(contents_of, gone) == Contents(0, 0, 0, 0)
    assert (await reader.read(contents_of, stays)).messages == 2


async def test_the_turns_of_a_quant_and_preset_are_found_in_all_sessions(store: Store, reader: Reader) -> None:
    for preset in ("daily", "daily", "fast"):
        await add(store, "x", preset=preset)
    await add(store, "x", model="Other")
    threads = turn(1, answer()).threads
    assert await reader.read(variants_of, "Tiny") == (Variant("Q4_K_M", "daily", threads, 2), Variant("Q4_K_M", "fast", threads, 1))
    turns = await reader.read(turns_of_variant, "Tiny", Variant("Q4_K_M", "daily", threads, 0))
    assert [turn.preset for turn in turns] == ["daily", "daily"]
    assert turns[0].id < turns[1].id


async def test_a_run_card_has_what_the_governor_decided_under_its_own_model_and_preset(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("x", 1)
    for preset, decided in (("auto", "2 threads"), ("auto", "2 threads"), ("fixed", None)):
        said = answer()
        await store.save_turn(replace(turn(session_id, said), preset=preset, preset_json=f'{{"name":"{preset}"}}'), said)
        if decided:
            store.put_event(wall_ms=1, session_id=session_id, turn_id=said.id, kind=GOVERNOR_KIND, text=decided)
    await store.flush()
    cards = {card.preset: card for card in await reader.read(run_cards, Selection((session_id,)))}
    assert cards["auto"].decisions == ("2 threads",)
    assert cards["fixed"].decisions == ()
