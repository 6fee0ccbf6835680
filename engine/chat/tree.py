"""The conversation as a tree; regenerating and editing make siblings."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from engine.records import Message


class ConversationTree:
    """All messages of one conversation, and the head: the last message of the current branch.

    Owned by one thread. Its results are immutable.
    """

    def __init__(self, messages: Iterable[Message] = (), head_id: int | None = None) -> None:
        """Build from stored records, in any order, damaged ones too.

        A message whose parent is missing, or that is its own ancestor, becomes a root. Without a known `head_id` the newest leaf
        is the head.
        """
        self._nodes = {message.id: message for message in sorted(messages, key=lambda message: message.id)}
        self._parents: dict[int, int | None] = {}
        self._children: dict[int | None, list[int]] = {None: []}
        self._link_all()
        self._head_id = head_id if head_id in self._nodes else self._newest_leaf(None)
        self._branch: tuple[Message, ...] | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._nodes

    @property
    def head(self) -> Message | None:
        """The last message of the current branch, None in an empty conversation."""
        return None if self._head_id is None else self._nodes[self._head_id]

    @property
    def newest_id(self) -> int | None:
        """The greatest id of all branches, None in an empty conversation."""
        return max(self._nodes, default=None)

    def get(self, message_id: int) -> Message:
        """One message; KeyError for an unknown id."""
        return self._nodes[message_id]

    def messages(self) -> tuple[Message, ...]:
        """Return every message of every branch, parents before children and siblings in order of age."""
        found: list[Message] = []
        waiting = list(reversed(self._children[None]))
        while waiting:
            message_id = waiting.pop()
            found.append(self._nodes[message_id])
            waiting.extend(reversed(self._children[message_id]))
        return tuple(found)

    def add(self, message: Message) -> tuple[Message, ...]:
        """Add a message below its parent (None makes a root), make it the head, and return its branch.

        Raises ValueError when the id is taken or the parent unknown.
        """
        if message.id in self._nodes:
            raise ValueError(f"message {message.id} is already in the conversation")
        if message.parent_id is not None and message.parent_id not in self._nodes:
            raise ValueError(f"message {message.id} follows an unknown message {message.parent_id}")
        self._nodes[message.id] = message
        self._link(message.id, message.parent_id)
        return self.set_head(message.id)

    def replace(self, message: Message) -> tuple[Message, ...]:
        """Replace a message by a newer state of it (a continued answer) and return the current branch.

        Raises ValueError when the message is unknown, or its parent or role would change.
        """
        old = self._nodes.get(message.id)
        if old is None or (old.parent_id, old.role) != (message.parent_id, message.role):
            raise ValueError(f"message {message.id} can only be replaced by a state of itself")
        self._nodes[message.id] = message
        self._branch = None
        return self.branch()

    def branch(self, head_id: int | None = None) -> tuple[Message, ...]:
        """Return the messages from the root to `head_id`, or to the head. KeyError for an unknown id."""
        if head_id is None or head_id == self._head_id:
            if self._branch is None:
                self._branch = self._path_to(self._head_id)
            return self._branch
        return self._path_to(head_id)

    def siblings(self, message_id: int) -> tuple[tuple[Message, ...], int]:
        """Return all versions of a message, oldest first, and its index among them. KeyError for an unknown id."""
        ids = self._children[self._parents[message_id]]
        return tuple(self._nodes[sibling] for sibling in ids), ids.index(message_id)

    def switch(self, message_id: int) -> tuple[Message, ...]:
        """Switch to another version: make the newest leaf below it the head and return its branch. KeyError for an unknown id."""
        return self.set_head(self._newest_leaf(self._nodes[message_id].id))

    def set_head(self, head_id: int | None) -> tuple[Message, ...]:
        """Make this message the head (None goes before the first one) and return its branch. KeyError for an unknown id."""
        branch = self._path_to(head_id)
        self._head_id, self._branch = head_id, branch
        return branch

    def _path_to(self, message_id: int | None) -> tuple[Message, ...]:
        path: list[Message] = []
        while message_id is not None:
            path.append(self._nodes[message_id])
            message_id = self._parents[message_id]
        return tuple(reversed(path))

    def _newest_leaf(self, below: int | None) -> int | None:
        newest: int | None = None
        waiting = [below]
        while waiting:
            message_id = waiting.pop()
            children = self._children[message_id]
            waiting.extend(children)
            if not children and message_id is not None and (newest is None or message_id > newest):
                newest = message_id
        return newest

    def _link(self, message_id: int, parent_id: int | None) -> None:
        self._parents[message_id] = parent_id
        insort(self._children[parent_id], message_id)  # answers made at once end in any order
        self._children.setdefault(message_id, [])

    def _link_all(self) -> None:
        self._children.update({message_id: [] for message_id in self._nodes})
        for message in self._nodes.values():
            known = message.parent_id in self._nodes and not self._is_below(message.parent_id, message.id)
            self._link(message.id, message.parent_id if known else None)

    def _is_below(self, message_id: int | None, ancestor: int) -> bool:
        """Return whether linking `message_id` above `ancestor` would make a cycle, by the links so far."""
        if not self._children[ancestor]:
            return message_id == ancestor
        while message_id is not None:
            if message_id == ancestor:
                return True
            message_id = self._parents.get(message_id)
        return False
