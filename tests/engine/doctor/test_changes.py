"""Changes that are undone: what was there before comes back, and a change that fails leaves nothing behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.doctor import changes
from engine.doctor.disk import let_go, mount_of, read_speed
from engine.errors import UsageError, XchatError
from engine.host.memory import cached_bytes
from tests.engine.doctor.machines import bare


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """A change of one value, in the place of tmux's."""
    value: dict[str, str | None] = {"now": "500"}
    change = replace(
        changes.CHANGES[changes.TMUX_ESCAPE_TIME],
        now=lambda _: value["now"],
        apply=lambda _: value.update(now="10"),
        restore=lambda _, before: value.update(now=before),
    )
    monkeypatch.setitem(changes.CHANGES, change.id, change)
    return value


def test_a_change_made_twice_is_undone_to_what_was_before_the_first(setting: dict[str, str | None]) -> None:
    change = changes.find(changes.TMUX_ESCAPE_TIME)
    changes.apply(change, ())
    changes.apply(change, ())
    assert (setting["now"], changes.applied()) == ("10", {change.id})
    changes.restore(change, ())
    assert (setting["now"], changes.applied()) == ("500", frozenset())
    with pytest.raises(UsageError, match="was not applied"):
        changes.restore(change, ())


def test_a_change_that_fails_is_not_remembered_as_made() -> None:
    with pytest.raises(XchatError, match="tmux did not take"):
        changes.apply(changes.find(changes.TMUX_ESCAPE_TIME), ())
    assert changes.applied() == frozenset()


def test_nothing_is_changed_that_could_not_be_undone(
    setting: dict[str, str | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(changes, "before_path", lambda: tmp_path / "file/doctor.json")
    with pytest.raises(XchatError, match="can't be saved"):
        changes.apply(changes.find(changes.TMUX_ESCAPE_TIME), ())
    assert setting["now"] == "500"


def test_a_model_is_read_into_the_page_cache(tmp_path: Path) -> None:
    model = bare(tmp_path).model
    os.sync()
    let_go(model[0])
    changes.apply(changes.find(changes.READ_MODEL), model)
    assert cached_bytes(model[0]) == 4_000_000
    changes.restore(changes.find(changes.READ_MODEL), model)


def test_a_disk_has_a_speed_or_none_is_made_up(tmp_path: Path) -> None:
    model = bare(tmp_path).model[0]
    speed = read_speed(model)
    assert speed is None or speed > 0
    assert read_speed(tmp_path / "missing") is None


def test_the_mount_on_top_counts(tmp_path: Path) -> None:
    lines = [
        f"1 1 8:1 / {point} rw - {kind} dev rw" for point, kind in (("/", "ext4"), (tmp_path, "xfs"), (tmp_path, "nfs"), ("/zzz", "zfs"))
    ]
    mount = mount_of(tmp_path / "m.gguf", "garbage\n" + "\n".join(lines))
    assert mount is not None
    assert mount.kind == "nfs"
