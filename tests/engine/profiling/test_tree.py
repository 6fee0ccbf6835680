from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.profiling.tree import FlameTree, Node, Order, Stack, callees_of, callers_of, frames_of
from tests.engine.profiling.captures import stacks, timed


def drawn(tree: FlameTree, node: Node | None = None, indent: int = 0) -> Iterator[str]:
    node = node or tree.root
    yield f"{' ' * indent}{tree.label(node).split(' (')[0]} {tree.total(node)}/{tree.own(node)}"
    for child in tree.children(node):
        yield from drawn(tree, child, indent + 1)


def test_stacks_are_merged_from_the_thread_on_the_heaviest_first() -> None:
    assert list(drawn(FlameTree(frames_of(stacks())))) == [
        "all 100/0",
        " thread: MainThread 50/0",
        "  run 50/0",
        "   paint 30/30",
        "   select 20/20",
        " thread: compute 50/0",
        "  step 50/0",
        "   decode 50/0",
        "    llama_decode 40/40",
        "    memcpy 10/10",
    ]


def test_lines_of_one_function_can_stand_apart() -> None:
    decodes = [line for line in drawn(FlameTree(frames_of(stacks(), lines=True))) if line.strip().startswith("decode")]
    assert decodes == ["   decode 40/0", "   decode 10/0"]


def test_one_thread_alone_and_without_waiting() -> None:
    tree = FlameTree(frames_of(stacks(), thread="MainThread", hide_idle=True))
    assert list(drawn(tree))[-1] == "   paint 30/30"
    assert tree.total(tree.root) == 30


def test_time_order_shows_a_function_as_often_as_it_ran() -> None:
    tree = FlameTree(frames_of(timed(), order=Order.TIME), order=Order.TIME)
    main = tree.children(tree.children(tree.root)[0])[0]
    assert [(tree.label(node), tree.start(node), tree.total(node)) for node in tree.children(main)] == [
        ("a (m.py)", 0, 2),
        ("b (m.py)", 2, 1),
        ("a (m.py)", 3, 1),
    ]
    summed = FlameTree(frames_of(timed()))
    assert len(summed.children(summed.children(summed.children(summed.root)[0])[0])) == 2


def test_recursion_counts_once_in_the_table() -> None:
    tree = FlameTree([(("f", "g", "f"), 4), (("f",), 1)])
    assert {(row.frame, row.own, row.total) for row in tree.functions()} == {("f", 5, 5), ("g", 0, 4)}


def test_functions_are_counted_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[FlameTree] = []
    entries = FlameTree.entries

    def counted(tree: FlameTree) -> Iterator[tuple[Stack, int]]:
        passes.append(tree)
        return entries(tree)

    monkeypatch.setattr(FlameTree, "entries", counted)
    tree = FlameTree([(("f", "g"), 2)])
    assert [tree.function(frame).total for frame in ("f", "g", "h")] == [2, 2, 0]
    tree.functions()
    assert len(passes) == 1


def test_the_table_leaves_threads_out() -> None:
    assert all(not row.frame.startswith("thread") for row in FlameTree(frames_of(stacks())).functions())


def test_a_search_covers_each_sample_once() -> None:
    tree = FlameTree([(("F1", "f2"), 3), (("g", "f3"), 4), (("g",), 5)])
    assert tree.matching("f") == 7
    assert tree.matching("nothing") == 0
    assert tree.matching("") == 0


def test_a_sandwich_has_callers_above_and_callees_below() -> None:
    entries = list(FlameTree(frames_of(stacks())).entries())
    assert list(drawn(callers_of(entries, "decode (engine/llama/context.py)"))) == [
        "decode 50/0",
        " step 50/0",
        "  thread: compute 50/50",
    ]
    assert list(drawn(callees_of(entries, "decode (engine/llama/context.py)"))) == ["decode 50/0", " llama_decode 40/40", " memcpy 10/10"]


def test_an_empty_profile_has_an_empty_root() -> None:
    tree = FlameTree(())
    assert tree.total(tree.root) == 0
    assert tree.children(tree.root) == []
