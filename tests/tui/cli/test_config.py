"""`xchat config`: every key with its origin, a commented sample, and errors that name the key and the nearest valid one."""

from __future__ import annotations

import json
import tomllib

import pytest

from engine.config import Config, config_path, load_config, sample, settings
from engine.errors import UsageError
from tests.tui.cli.conftest import Run


def write(text: str) -> None:
    config_path().parent.mkdir(parents=True, exist_ok=True)
    config_path().write_text(text)


def test_every_key_is_shown_with_value_origin_and_meaning(xchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write('mouse = false\n[database]\nprofile = "safe"\n')
    monkeypatch.setenv("XCHAT_THEME", "light")
    rows = {row["key"]: row for row in json.loads(xchat("config", "show", "--json").out)}
    assert set(rows) == set(settings())
    assert (rows["mouse"]["value"], rows["mouse"]["origin"]) == (False, "config.toml")
    assert (rows["database.profile"]["value"], rows["database.profile"]["origin"]) == ("safe", "config.toml")
    assert (rows["theme"]["value"], rows["theme"]["origin"]) == ("light", "XCHAT_THEME")
    assert rows["model"]["origin"] == "default"
    assert all(row["description"] for row in rows.values())
    assert "database.profile" in xchat("config", "show").out


def test_the_sample_changes_nothing_and_without_its_comment_signs_it_has_every_key(xchat: Run) -> None:
    text = xchat("config", "show", "--sample").out
    assert text == sample()
    write(text)
    assert load_config() == Config()
    lines = [line[1:] for line in text.splitlines() if line.startswith("#") and not line.startswith("# ")]
    values = tomllib.loads("\n".join(line for line in lines if not line.endswith("= ...")))
    unset = {line.split(" ")[0] for line in lines if line.endswith("= ...")}
    found = {f"{table}.{key}" for table, keys in values.items() if isinstance(keys, dict) for key in keys} | set(values)
    assert {key for key in settings() if key.rpartition(".")[2] not in unset} <= found


def engine(keys: str = "", name: str = "lab") -> str:
    return f'[[engines]]\nname = "{name}"\n{keys}\n\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('thme = "dark"', ("thme", "Did you mean theme?")),
        ('[database]\nprofil = "safe"', ("database.profil", "Did you mean database.profile?")),
        ('mouse = "yes"', ("invalid value of mouse",)),
        ("[metrics]\nprometheus_port = 0", ("invalid value of metrics.prometheus_port",)),
        (engine(), ("engines[0].base_url", "either it or base_urls is needed")),
        (engine('base_url = "http://x"\nbase_urls = ["http://y"]'), ("engines[0].base_url", "not both")),
        (engine('base_url = "gpu-box:8080"'), ("engines[0].base_url", "needs a scheme and a host")),
        (engine('base_urls = ["http://x", "ftp://y"]'), ("engines[0].base_urls", "needs a scheme and a host")),
        (engine('base_url = "http://x:99999"'), ("engines[0].base_url", "not an address")),
        (engine('base_url = "http://me:secret@x"'), ("engines[0].base_url", "api_key_env instead")),
        (engine('base_url = "http://x/v1?key=1"'), ("engines[0].base_url", "no ?, # or space")),
        (engine("base_url = 7"), ("engines[0].base_url", "got `int`")),
        (engine('base_ur = "http://x"'), ("engines[0].base_ur", "Did you mean engines.base_url?")),
        (engine('base_url = "http://x"\napi_key_env = "sk-12 34"'), ("engines[0].api_key_env", "names an environment variable")),
        (engine('base_url = "http://x"\nmodel = ""'), ("engines[0].model", "it is empty")),
        (engine('base_url = "http://x"', "a/b"), ("engines[0].name", "letters, digits")),
        (engine('base_url = "http://x"', "builtin"), ("engines[0].name", "already names a kind of model")),
        (engine('base_url = "http://x"') + engine('base_url = "http://y"'), ("engines", "two have the name lab")),
        (engine('base_url = "http://x"\napi_key_env = "XCHAT_NO_SUCH_KEY"'), ("The key of lab is missing",)),
    ],
)
def test_a_wrong_key_is_named_with_the_nearest_valid_one(xchat: Run, text: str, said: tuple[str, ...]) -> None:
    write(text)
    ran = xchat("config", "check")
    assert ran.code == UsageError.exit_code
    for words in said:
        assert words in ran.err
    assert "secret" not in ran.err
    assert "sk-12" not in ran.err


def test_check_reads_keys_alerts_pragmas_and_theme_too(xchat: Run) -> None:
    write('theme = "drak"\n[keys]\nfly = "f9"\n[alerts]\nnothing = 1\n[database]\nprofile = "quick"\n')
    ran = xchat("config", "check")
    assert ran.code == UsageError.exit_code
    for words in ("'drak'. Did you mean dark?", "'fly'", "nothing", "quick"):
        assert words in ran.err
    write("mouse = false\n")
    assert xchat("config", "check").code == 0


def test_edit_begins_with_the_sample_and_checks_what_was_written(xchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    assert xchat("config", "edit").code == 0
    assert config_path().read_text() == sample()
    assert config_path().stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("EDITOR", "/nonexistent/editor")
    assert "can't be started" in xchat("config", "edit").err
