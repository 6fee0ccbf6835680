"""The list of models on a machine: every place, every file once, families of quants, broken files with their reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.models import facts_cache
from engine.models.catalog import Catalog, list_models
from engine.models.facts import FileKind
from engine.models.locations import Place, places
from engine.paths import models_dir
from engine.presets.preset import Preset
from engine.session.model_finder import ModelFinder
from tests.engine.models import raw_gguf
from tests.engine.models.test_check import split

F16_TENSORS = [(name, shape, raw_gguf.F16) for name, shape, _ in raw_gguf.TENSORS]


@pytest.fixture
def home() -> Path:
    return Path(os.environ["HOME"])


def labels(catalog: Catalog) -> dict[str, list[str]]:
    return {family.name: [entry.label for entry in family.entries] for family in catalog.families}


def hub_repository(hub: Path, name: str, file: str, revision: str = "abc123") -> Path:
    """A repository in the layout of the Hugging Face cache; returns the link that carries the file's name."""
    repository = hub / f"models--{name.replace('/', '--')}"
    blob = raw_gguf.write(repository / "blobs" / f"blob-{file}-{revision}")
    link = repository / "snapshots" / revision / file
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs").mkdir(exist_ok=True)
    return link


def ollama_model(folder: Path, name: str, layers: dict[str, str]) -> None:
    manifest = folder / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"layers": [{"mediaType": kind, "digest": digest} for kind, digest in layers.items()]}))


def test_an_empty_machine_has_an_empty_catalog() -> None:
    assert list_models() == Catalog((), (), (), ())


def test_quants_of_one_model_are_one_family_the_largest_first() -> None:
    raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    raw_gguf.write(models_dir() / "tiny-F16.gguf", tensors=F16_TENSORS, general__file_type=1)
    raw_gguf.write(models_dir() / "other.gguf", general__name="Other")
    catalog = list_models()
    assert labels(catalog) == {"Other": ["other.gguf"], "tiny": ["tiny-F16.gguf", "tiny-Q8_0.gguf"]}
    family = catalog.find("tiny")
    assert family is not None
    largest, smallest = family.entries
    assert family.neighbour(largest.path, 1) == smallest
    assert family.neighbour(largest.path, -1) is None
    assert family.neighbour(smallest.path, 1) is None
    assert family.quant("q8_0") == smallest
    assert catalog.family_of(smallest.path) is family
    assert catalog.find("nothing") is None
    assert catalog.find("tiny test") is family, "by its metadata too, as presets of older versions name it"


def test_every_place_is_looked_into(home: Path, tmp_path: Path) -> None:
    raw_gguf.write(models_dir() / "own.gguf", general__name="Own")
    raw_gguf.write(tmp_path / "mine/deep/folder.gguf", general__name="Folder")
    link = hub_repository(home / "cache/huggingface/hub", "org/repo", "hub.gguf")
    (link.parents[2] / "refs/main").write_text("abc123")
    raw_gguf.write(home / "cache/llama.cpp/old.gguf", general__name="Old")
    raw_gguf.write(home / ".lmstudio/models/org/repo/studio.gguf", general__name="Studio")
    digest = "a" * 64
    raw_gguf.write(home / f".ollama/models/blobs/sha256-{digest}", general__name="Llama")
    ollama_model(
        home / ".ollama/models", "registry.ollama.ai/library/qwen3/0.6b", {"application/vnd.ollama.image.model": f"sha256:{digest}"}
    )
    catalog = list_models([tmp_path / "mine"])
    found = {entry.label: entry.place for family in catalog.families for entry in family.entries}
    assert found == {
        "own.gguf": Place.OWN,
        "folder.gguf": Place.FOLDER,
        "hub.gguf": Place.HUGGING_FACE,
        "old.gguf": Place.LLAMA_CPP,
        "studio.gguf": Place.LM_STUDIO,
        "qwen3:0.6b": Place.OLLAMA,
    }
    assert [entry.removable for family in catalog.families for entry in family.entries].count(True) == 1
    assert catalog.broken == ()


def test_only_the_main_revision_of_a_hub_repository_counts(home: Path) -> None:
    hub = home / "cache/huggingface/hub"
    hub_repository(hub, "org/repo", "old.gguf", "aaa")
    link = hub_repository(hub, "org/repo", "new.gguf", "bbb")
    assert [len(family.entries) for family in list_models().families] == [2]
    (link.parents[2] / "refs/main").write_text("bbb\n")
    assert labels(list_models()) == {"new": ["new.gguf"]}
    (link.parents[2] / "refs/main").write_text("../../..")
    assert [len(family.entries) for family in list_models().families] == [2]


def test_the_variables_of_other_programs_move_their_places() -> None:
    environ = {"HOME": "/h", "HF_HOME": "/hf", "LLAMA_CACHE": "/lc", "OLLAMA_MODELS": "/ol"}
    found = places(environ=environ)
    assert (Place.HUGGING_FACE, Path("/hf/hub")) in found
    assert (Place.LLAMA_CPP, Path("/lc")) in found
    assert (Place.OLLAMA, Path("/ol")) in found
    assert (Place.HUGGING_FACE, Path("/hub")) in places(environ={**environ, "HF_HUB_CACHE": "/hub"})


def test_a_home_and_variables_in_a_variable_are_replaced() -> None:
    environ = {"HOME": "/h", "DISK": "/d", "HF_HOME": "~/hf", "OLLAMA_MODELS": "$DISK/ol", "LLAMA_CACHE": "${DISK}/lc"}
    found = places(["~/mine", "$DISK/mine"], environ)
    for place, path in (
        (Place.HUGGING_FACE, "/h/hf/hub"),
        (Place.OLLAMA, "/d/ol"),
        (Place.LLAMA_CPP, "/d/lc"),
        (Place.FOLDER, "/h/mine"),
        (Place.FOLDER, "/d/mine"),
    ):
        assert (place, Path(path)) in found


def test_the_folder_that_lm_studio_is_set_to_is_looked_into(home: Path, tmp_path: Path) -> None:
    (home / ".lmstudio").mkdir(parents=True)
    (home / ".lmstudio/settings.json").write_text(json.dumps({"downloadsFolder": "~/weights"}))
    (home / ".lmstudio-home-pointer").write_text(f"{tmp_path}/studio\n")
    assert [path for place, path in places(environ={"HOME": str(home)}) if place is Place.LM_STUDIO] == [
        tmp_path / "studio/models",
        home / "weights",
        home / ".lmstudio/models",
        home / ".cache/lm-studio/models",
    ]
    for strange in ("", "[]", '{"downloadsFolder": 3}', "[" * 100_000, "\0"):
        (home / ".lmstudio/settings.json").write_text(strange)
        assert places(environ={"HOME": str(home)})


def test_a_file_in_several_places_is_listed_once(tmp_path: Path, home: Path) -> None:
    original = raw_gguf.write(models_dir() / "m.gguf")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/hard.gguf").hardlink_to(original)
    (tmp_path / "links/soft.gguf").symlink_to(original)
    assert labels(list_models([tmp_path / "links"])) == {"m": ["m.gguf"]}


def test_a_split_model_is_one_entry_with_the_size_of_all_parts() -> None:
    paths = split(models_dir())
    (entry,) = list_models().families[0].entries
    assert entry.parts == tuple(paths)
    assert entry.facts.file_bytes == sum(path.stat().st_size for path in paths)


def test_what_is_no_model_is_kept_apart() -> None:
    raw_gguf.write(models_dir() / "mmproj-x.gguf")
    raw_gguf.write(models_dir() / "lora.gguf", general__type="adapter")
    raw_gguf.write(models_dir() / "i.gguf", general__type="imatrix")
    catalog = list_models()
    assert catalog.families == ()
    assert {entry.facts.kind for entry in catalog.companions} == {FileKind.MMPROJ, FileKind.ADAPTER, FileKind.IMATRIX}


def test_broken_files_are_shown_with_their_reason(tmp_path: Path) -> None:
    folder = models_dir()
    (folder / "empty.gguf").touch()
    (folder / "picture.gguf").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "dangling.gguf").symlink_to(tmp_path / "gone")
    (folder / "folder.gguf").mkdir()
    cut = raw_gguf.write(folder / "cut.gguf")
    os.truncate(cut, cut.stat().st_size - 100)
    split(folder, skip=(2,))
    raw_gguf.write(folder / "good.gguf")
    catalog = list_models()
    assert [family.name for family in catalog.families] == ["good"]
    reasons = {broken.label: str(broken.error) for broken in catalog.broken}
    assert "empty" in reasons["empty.gguf"]
    assert "PNG" in reasons["picture.gguf"]
    assert "does not exist" in reasons["dangling.gguf"]
    assert "folder" in reasons["folder.gguf"]
    assert "100 bytes" in reasons["cut.gguf"]
    assert "big-00002-of-00003.gguf" in reasons["big-00001-of-00003.gguf"]
    assert len(reasons) == 6


@pytest.mark.parametrize("manifest", ["", "[]", '{"layers": 3}', '{"layers": [{"mediaType": 1, "digest": 2}]}', "[" * 100_000])
def test_a_strange_manifest_of_ollama_is_reported_and_not_fatal(home: Path, manifest: str) -> None:
    path = home / ".ollama/models/manifests/a/b"
    path.parent.mkdir(parents=True)
    path.write_text(manifest)
    catalog = list_models()
    assert catalog.families == ()
    assert len(catalog.unreadable) <= 1


def test_a_manifest_can_not_name_a_file_outside_its_folder(home: Path, tmp_path: Path) -> None:
    raw_gguf.write(tmp_path / "secret.gguf")
    ollama_model(home / ".ollama/models", "x/y", {"application/vnd.ollama.image.model": "sha256:../../../secret.gguf"})
    assert list_models().families == ()


def test_circles_of_links_end(tmp_path: Path) -> None:
    folder = tmp_path / "round"
    raw_gguf.write(folder / "m.gguf")
    (folder / "again").symlink_to(folder)
    assert labels(list_models([folder])) == {"m": ["m.gguf"]}


def test_names_that_act_on_a_terminal_are_shown_harmless() -> None:
    raw_gguf.write(models_dir() / "evil\x1b[2J.gguf", general__name="Evil\x1b]0;x\x07")
    family = list_models().families[0]
    assert family.name.isprintable()
    assert family.entries[0].label.isprintable()


def test_a_second_listing_reads_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    raw_gguf.write(models_dir() / "m.gguf")
    first = list_models()
    read: list[object] = []
    monkeypatch.setattr(facts_cache, "read_facts", read.append)
    assert list_models() == first
    assert read == []


def test_a_model_of_ollama_goes_by_its_tag_and_not_by_its_blob(home: Path) -> None:
    for number, (name, tag) in enumerate([("llama3.2", "1b"), ("llama3.2", "latest"), ("qwen3", "0.6b")]):
        digest = f"{number}" * 64
        blob = raw_gguf.write(home / f".ollama/models/blobs/sha256-{digest}", general__name=None if number == 2 else f"Model {number}")
        ollama_model(
            home / ".ollama/models", f"registry.ollama.ai/library/{name}/{tag}", {"application/vnd.ollama.image.model": f"sha256:{digest}"}
        )
        assert blob.exists()
    catalog = list_models()
    assert [(entry.label, entry.shown) for name in ("llama3.2:1b", "Llama3.2", "qwen3:0.6B") if (entry := catalog.tagged(name))] == [
        (label, label) for label in ("llama3.2:1b", "llama3.2:latest", "qwen3:0.6b")
    ]
    assert catalog.tagged("qwen3") is None
    assert not any("sha256" in family.name for family in catalog.families)
    assert ModelFinder(lambda: catalog).find(Preset(model="llama3.2:1b"), None) == home / f".ollama/models/blobs/sha256-{'0' * 64}"


def test_a_file_whose_name_is_not_text_is_listed_and_remembered() -> None:
    path = Path(os.fsdecode(bytes(models_dir()) + b"/caf\xe9.gguf"))
    raw_gguf.write(path)
    (entry,) = list_models().families[0].entries
    assert entry.path == path
    assert entry.label.isprintable()
    assert list_models() == list_models()
