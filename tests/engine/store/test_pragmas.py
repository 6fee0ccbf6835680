from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.store.sqlite.connect import open_writer
from engine.store.sqlite.pragmas import PRAGMAS, PROFILES, Profile, Value, can_lose, in_force

ARCHITECTURE = {
    "journal_mode": "WAL",
    "synchronous": "NORMAL",
    "cache_size": -64000,
    "mmap_size": 268435456,
    "temp_store": "MEMORY",
    "busy_timeout": 5000,
    "wal_autocheckpoint": 1000,
    "foreign_keys": "ON",
}


def applied(path: Path, profile: Profile) -> Mapping[str, Value]:
    db = open_writer(path, profile)
    try:
        return in_force(db)
    finally:
        db.close()


@pytest.mark.parametrize("name", PROFILES)
def test_every_pragma_of_a_profile_is_in_force_after_opening(path: Path, name: str) -> None:
    assert applied(path, Profile.of(name)) == PROFILES[name].values


def test_the_default_profile_is_the_one_of_the_plan(path: Path) -> None:
    assert applied(path, Profile.of()).items() >= ARCHITECTURE.items()


def test_the_word_sqlite_rolls_everything_back_to_sqlites_own_defaults(path: Path, tmp_path: Path) -> None:
    applied(path, Profile.of("balanced"))
    bare = sqlite3.connect(tmp_path / "bare.db", timeout=0)
    assert applied(path, Profile.of("sqlite")) == in_force(bare)
    bare.close()


def test_the_environment_is_stronger_than_the_config_and_the_config_than_the_profile() -> None:
    profile = Profile.of("balanced", {"cache_size": -1000, "synchronous": "full"}, {"XCHAT_SQLITE_CACHE_SIZE": "-2000"})
    assert profile.values == {**PROFILES["balanced"].values, "cache_size": -2000, "synchronous": "FULL"}


def test_the_environment_can_name_the_profile() -> None:
    assert Profile.of("balanced", {}, {"XCHAT_SQLITE_PROFILE": "safe"}).values == PROFILES["safe"].values


@pytest.mark.parametrize(("given", "stored"), [("wal", "WAL"), (1, "WAL")])
def test_words_are_taken_in_any_case_and_as_sqlites_number(given: object, stored: str) -> None:
    assert Profile.of(pragmas={"journal_mode": given}, environ={}).values["journal_mode"] == stored


@pytest.mark.parametrize(
    ("pragmas", "environ"),
    [
        ({"cache_sise": 1}, {}),
        ({"synchronous": "SOMETIMES"}, {}),
        ({"synchronous": 7}, {}),
        ({"journal_mode": "MEMORY"}, {}),
        ({"busy_timeout": -1}, {}),
        ({"busy_timeout": True}, {}),
        ({"cache_size": "many"}, {}),
        ({"cache_size": "1; DROP TABLE turns"}, {}),
        ({}, {"XCHAT_SQLITE_MMAP_SIZE": "big"}),
        ({}, {"XCHAT_SQLITE_PROFILE": "reckless"}),
    ],
)
def test_a_value_that_cannot_be_meant_is_a_usage_error(pragmas: dict[str, object], environ: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Profile.of("balanced", pragmas, environ)


def test_every_pragma_and_profile_says_why() -> None:
    assert all(pragma.reason for pragma in PRAGMAS.values())
    assert all(profile.sentence and profile.values.keys() == PRAGMAS.keys() for profile in PROFILES.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("safe", "Power cut: nothing"),
        ("balanced", "the last commits, never the file"),
        ("fast", "the whole file"),
        ("sqlite", "Power cut: nothing"),
    ],
)
def test_what_a_profile_can_lose_follows_from_its_values(name: str, words: str) -> None:
    assert words in can_lose(PROFILES[name].values)
