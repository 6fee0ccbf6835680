"""The conversation tree keeps every version, and survives damaged records."""

from __future__ import annotations

import pytest

from engine.chat.tree import ConversationTree
from engine.messages import Role
from engine.records import Message


def said(message_id: int, parent_id: int | None, text: str = "") -> Message:
    return Message(message_id, parent_id, Role.USER if message_id % 2 else Role.ASSISTANT, text or f"text {message_id}")


def ids(branch: tuple[Message, ...]) -> list[int]:
    return [message.id for message in branch]


def forked() -> ConversationTree:
    """1 - 2 - 3 - 4, a second answer 6 to 1 with 7 below it, and a second beginning 9."""
    return ConversationTree([said(1, None), said(2, 1), said(3, 2), said(4, 3), said(6, 1), said(7, 6), said(9, None)], head_id=4)


class TestTalking:
    def test_an_empty_conversation_has_no_head(self) -> None:
        tree = ConversationTree()
        assert (tree.head, tree.branch(), len(tree), tree.messages()) == (None, (), 0, ())

    def test_each_message_goes_on_from_the_one_before(self) -> None:
        tree = ConversationTree()
        tree.add(said(1, None))
        assert ids(tree.add(said(2, 1))) == [1, 2]
        assert tree.head == said(2, 1)

    def test_regenerating_makes_a_sibling_and_keeps_the_first_answer(self) -> None:
        tree = ConversationTree([said(1, None), said(2, 1)])
        assert ids(tree.add(said(4, 1))) == [1, 4]
        assert 2 in tree
        assert tree.siblings(4) == ((said(2, 1), said(4, 1)), 1)

    def test_editing_the_first_message_makes_a_second_beginning(self) -> None:
        tree = forked()
        assert tree.siblings(9) == ((said(1, None), said(9, None)), 1)

    def test_a_branch_handed_out_does_not_change(self) -> None:
        tree = ConversationTree([said(1, None)])
        before = tree.branch()
        tree.add(said(2, 1))
        assert ids(before) == [1]

    def test_a_newer_state_takes_the_place_of_an_answer(self) -> None:
        tree = ConversationTree([said(1, None), said(2, 1)])
        assert tree.replace(said(2, 1, "longer"))[-1].text == "longer"
        assert tree.get(2).text == "longer"

    @pytest.mark.parametrize("message", [said(2, 1), said(5, 99)])
    def test_a_known_id_or_an_unknown_parent_is_refused(self, message: Message) -> None:
        with pytest.raises(ValueError, match=str(message.id)):
            ConversationTree([said(1, None), said(2, 1)]).add(message)

    @pytest.mark.parametrize("message", [said(9, 1), said(2, None), Message(2, 1, Role.USER, "")])
    def test_only_a_state_of_the_same_message_can_replace_it(self, message: Message) -> None:
        with pytest.raises(ValueError, match="state of itself"):
            ConversationTree([said(1, None), said(2, 1)]).replace(message)


class TestMovingBetweenVersions:
    def test_switching_goes_down_to_the_newest_leaf(self) -> None:
        tree = forked()
        assert ids(tree.switch(6)) == [1, 6, 7]
        assert ids(tree.switch(1)) == [1, 6, 7]
        assert ids(tree.switch(2)) == [1, 2, 3, 4]

    def test_any_branch_can_be_read_without_moving(self) -> None:
        tree = forked()
        assert ids(tree.branch(7)) == [1, 6, 7]
        assert ids(tree.branch()) == [1, 2, 3, 4]

    def test_looking_at_a_message_hides_what_follows_it(self) -> None:
        tree = forked()
        assert ids(tree.set_head(3)) == [1, 2, 3]
        assert tree.set_head(None) == ()
        assert tree.head is None

    @pytest.mark.parametrize("move", ["switch", "set_head", "siblings", "branch", "get"])
    def test_an_unknown_message_is_an_error(self, move: str) -> None:
        with pytest.raises(KeyError):
            getattr(forked(), move)(1234)


class TestStoredRecords:
    def test_any_order_will_do(self) -> None:
        assert ids(ConversationTree([said(3, 2), said(1, None), said(2, 1)]).branch()) == [1, 2, 3]

    def test_without_a_head_the_newest_leaf_is_shown(self) -> None:
        assert ids(ConversationTree([said(1, None), said(2, 1), said(4, 1), said(3, 2)]).branch()) == [1, 4]
        assert ids(ConversationTree([said(1, None), said(2, 1)], head_id=77).branch()) == [1, 2]

    def test_a_message_without_its_parent_is_kept_as_a_beginning(self) -> None:
        tree = ConversationTree([said(1, None), said(5, 4), said(6, 5)], head_id=6)
        assert ids(tree.branch()) == [5, 6]
        assert len(tree.messages()) == 3

    @pytest.mark.parametrize("ring", [[said(1, 1)], [said(1, 2), said(2, 1)], [said(1, 3), said(2, 1), said(3, 2), said(4, 2)]])
    def test_a_ring_is_opened_and_nothing_is_lost(self, ring: list[Message]) -> None:
        tree = ConversationTree(ring)
        assert sorted(ids(tree.messages())) == sorted(message.id for message in ring)
        assert tree.branch()

    def test_a_parent_with_a_greater_id_is_a_parent_all_the_same(self) -> None:
        assert ids(ConversationTree([said(2, 8), said(8, None), said(3, 2)], head_id=3).branch()) == [8, 2, 3]

    def test_all_messages_come_parents_first(self) -> None:
        assert ids(forked().messages()) == [1, 2, 3, 4, 6, 7, 9]

    def test_a_conversation_of_thousands_is_no_deep_recursion(self) -> None:
        long = [said(number, number - 1 or None) for number in range(1, 5001)]
        tree = ConversationTree(long)
        assert len(tree.branch()) == len(tree.messages()) == len(tree.switch(1)) == 5000
