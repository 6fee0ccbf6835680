"""Adding models to xchat's own folder, and deleting only what is xchat's to delete."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.models.catalog import Entry, list_models
from engine.models.check import check_model
from engine.models.local import add, removal, remove
from engine.paths import models_dir
from tests.engine.models import raw_gguf
from tests.engine.models.test_catalog import hub_repository
from tests.engine.models.test_check import split


def only_entry() -> Entry:
    ((entry,),) = (family.entries for family in list_models().families)
    return entry


def test_an_added_model_is_listed_and_not_copied(tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "elsewhere/m.gguf")
    (link,) = add(check_model(path))
    assert link.resolve() == path
    assert only_entry().path == models_dir() / "m.gguf"
    with pytest.raises(UsageError, match="exists already"):
        add(check_model(path))
    with pytest.raises(UsageError, match="own folder"):
        add(check_model(link))


def test_all_parts_are_added(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    parts = split(tmp_path / "parts")
    assert len(add(check_model(parts[2]))) == 3
    assert len(only_entry().parts) == 3


def test_removing_an_added_model_leaves_the_original(tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "elsewhere/m.gguf")
    add(check_model(path))
    remove(only_entry())
    assert path.exists()
    assert list_models().families == ()


def test_removing_an_own_file_frees_its_bytes() -> None:
    path = raw_gguf.write(models_dir() / "m.gguf")
    size = path.stat().st_size
    assert remove(only_entry()) == size
    assert not path.exists()


def test_files_of_other_programs_stay(tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "home/.lmstudio/models/m.gguf")
    with pytest.raises(UsageError, match="lm studio"):
        remove(only_entry())
    assert path.exists()


def test_a_blob_of_the_hubs_cache_goes_with_its_last_name(tmp_path: Path) -> None:
    hub = tmp_path / "home/cache/huggingface/hub"
    link = hub_repository(hub, "org/repo", "m.gguf", "aaa")
    blob = link.resolve()
    second = link.parents[1] / "bbb/m.gguf"
    second.parent.mkdir()
    second.symlink_to(blob)
    (link.parents[2] / "refs/main").write_text("aaa")
    assert removal(only_entry()) == (link,)
    remove(only_entry())
    assert blob.exists()
    (link.parents[2] / "refs/main").write_text("bbb")
    assert removal(only_entry()) == (second, blob)
    assert remove(only_entry()) > blob.parent.stat().st_nlink
    assert not blob.exists()
