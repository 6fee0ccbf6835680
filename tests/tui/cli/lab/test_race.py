"""`xchat race` and `xchat tune`: verdicts, JSON, presets that are kept, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.guide.builtin import file_of
from engine.lab.builds import BuildsEngine
from engine.lab.race import Use, race
from engine.lab.wording import race_in_words, race_lines
from engine.llama.measuring.work import Setup, Took, Work
from engine.model_ref import BuiltInModel
from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset
from tests.engine.lab.test_race import Scripted, arm
from tests.hostile import acting
from tests.tui.cli.conftest import HOSTILE, Run
from tests.tui.cli.lab.conftest import Terminal
from tui.cli.lab import common
from tui.cli.main import main

AT_ONCE = ("-m", "builtin", "--seconds", "0.01")
"""One unit."""


@pytest.mark.slow
def test_a_setting_is_not_found_faster_than_itself(xchat: Run) -> None:
    ran = xchat("race", "threads=1", "threads=1", *AT_ONCE)
    assert ran.code == 0, ran.err
    verdict, _, first, second, *_ = ran.out.splitlines()
    assert verdict.startswith("INCONCLUSIVE: no clear difference between threads=1 and threads=1 yet")
    assert all("tokens/s" in line for line in (first, second))
    assert "1 unit in" in ran.out


@pytest.mark.slow
def test_a_race_as_json_has_each_arm_and_its_verdict(xchat: Run) -> None:
    ran = xchat("race", "current", "threads=1", "n-threads=1", "--json", "--no-log", *AT_ONCE)
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert [each["arm"] for each in facts["arms"]] == ["current", "threads=1", "n-threads=1"]
    assert [each["verdict"] for each in facts["arms"][1:]] == ["INCONCLUSIVE"] * 2
    assert facts["arms"][1]["low"] is None
    assert ran.err == ""


def test_a_race_that_is_interrupted_before_its_first_figure_says_so() -> None:
    result = race(Scripted({1: 1e6, 2: 1e6}, fails_after=0), [arm(1), arm(2)], Use.DECODE)
    text = "\n".join([race_in_words(result), *race_lines(result)])
    assert "INCONCLUSIVE: threads=2 was not measured." in text
    assert "nan" not in text
    assert "threads=1  not measured\n" in text


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("threads=1",), 2, "two arms"),
        (("threads=1", "nonsense=2"), 2, "'nonsense'"),
        (("threads=1", "threads=1,thread"), 2, "'thread'"),
        (("threads=1", "threads=x"), 2, "threads can't be x"),
        (("threads=1", "temperature=1"), 2, "temperature does not affect a race"),
        (("threads=1", "nowhere"), 3, "'nowhere'"),
        (("threads=1", "current", "-m", "/nowhere.gguf"), 3, "nowhere.gguf"),
        (("threads=1", "current", "--preset", "nope"), 2, "'nope'"),
        (("threads=1", "current", "--seconds", "nan"), 2, "--seconds: 'nan'"),
        (("threads=1", "current", "--difference", "0"), 2, "--difference: '0'"),
    ],
    ids=str,
)
def test_an_arm_that_can_not_race_is_refused_by_name(xchat: Run, arguments: tuple[str, ...], code: int, named: str) -> None:
    ran = xchat("race", "-m", "builtin", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert named in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.slow
def test_a_search_ends_with_a_sentence_and_a_table(xchat: Run) -> None:
    ran = xchat("tune", "-m", "builtin", "--minutes", "0.2", "--for", "decode")
    assert ran.code == 0, ran.err
    sentence, _, *table = ran.out.splitlines()
    assert sentence.endswith(".")
    assert any(line.split()[:2] == ["threads", "threads=1"] and "%" in line for line in table)
    assert any(line.split()[0] == "KV" and "type_k=q8_0" in line for line in table)


@pytest.mark.slow
def test_a_type_that_is_not_near_enough_is_left_out_and_the_result_is_printed(xchat: Run) -> None:
    ran = xchat("tune", "-m", "builtin", "--minutes", "0.0001", "--for", "decode", "--most-kld", "0.0000001")
    assert ran.code == 0, ran.err
    assert "left out: q8_0, KL divergence" in ran.err
    assert "the current settings stay" in ran.out
    assert "skipped: the time was up" in ran.out
    assert "type_k=q8_0" not in ran.out


class Crowded(BuildsEngine):
    """The real engine on a machine where 16 threads take ten times as long; how much they take here differs by machine."""

    def run(self, setup: Setup, work: Work) -> Took:
        took = super().run(setup, work)
        factor = 10 if setup.preset.threads == 16 else 1
        return replace(took, prompt_ns=took.prompt_ns * factor, gen_ns=took.gen_ns * factor)


@pytest.mark.slow
def test_proven_settings_are_kept_as_a_preset(xchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "BuildsEngine", Crowded)
    PresetFolder().save(Preset(name="crowded", threads=16))
    ran = xchat("tune", "-m", "builtin", "--preset", "crowded", "--for", "decode", "--minutes", "0.2", "--kv-types", "", "--keep", "quick")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Use ")
    assert "kept as preset quick" in ran.err
    kept = PresetFolder().load().get("quick")
    assert kept.threads != 16
    assert kept.description == "Tuned for decode, from crowded"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--minutes", "0"), "--minutes: '0'"),
        (("--minutes", "nan"), "--minutes: 'nan'"),
        (("--kv-types", "q9"), "type_k can't be q9"),
        (("--preset", "nope"), "'nope'"),
        (("--keep", "../evil"), "'../evil'"),
        (("--keep", "daily"), "There is a preset 'daily' already"),
        (("--for", "fun"), "'fun'"),
    ],
    ids=str,
)
def test_a_search_that_can_not_be_is_refused_at_once(xchat: Run, arguments: tuple[str, ...], named: str) -> None:
    ran = xchat("tune", "-m", "builtin", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert named in ran.err


def evil_model(folder: Path) -> Path:
    """The built-in model under a name that would act on a terminal."""
    path = folder / f"{HOSTILE}\udce9.gguf"
    shipped = file_of(BuiltInModel("F16"))
    assert shipped is not None
    path.symlink_to(shipped)
    return path


@pytest.mark.parametrize("form", ["md", "csv", "json", "sql"])
@pytest.mark.slow
def test_a_bench_of_a_hostile_file_name_is_inert(tmp_path: Path, terminal: Terminal, form: str) -> None:
    path = evil_model(tmp_path)
    assert main(["bench", str(path), f"{path}.missing.gguf", "-p", "8", "-n", "0", "-r", "1", "-t", "1", "-o", form]) == 0
    assert not acting(terminal.getvalue().replace("\r\x1b[K", ""), lines=True)


@pytest.mark.slow
def test_a_race_of_hostile_names_is_inert_and_stays_on_its_lines(tmp_path: Path, terminal: Terminal) -> None:
    path = evil_model(tmp_path)
    for extra in ((), ("--json",)):
        assert main(["race", "current", str(path), "--measure", "decode", *AT_ONCE, *extra]) == 0
    for command in (["list"], ["list", "--json"], ["show", "1"], ["show", "1", "--json"]):
        assert main(["runs", *command]) == 0
    sent = terminal.getvalue().replace("\r\x1b[K", "")
    assert not acting(sent, lines=True)
    assert not any(line.startswith("second line") for line in sent.splitlines())
