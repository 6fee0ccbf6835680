from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from engine.chat.importing import read_conversations
from engine.errors import StoreError, UsageError
from engine.store.errors import SessionMissingError
from engine.store.export.exporter import Export, Format, export_to_file, export_to_stream
from engine.store.export.llama_bench import FIELDS, SAMPLE_FIELDS, build_of, command_line
from engine.store.export.page import POLICY
from engine.store.export.tables import Selection, What
from engine.store.writer import Store
from tests.engine.store.records import answer, noisy, sample, turn, user

EVIL = '<script>alert(1)</script>\x1b[31m\n| ~~~~ =cmd|" \u202egnp.exe &amp;'
SYSTEM = "You are a secret agent"


@pytest.fixture
async def session_id(store: Store) -> int:
    session_id = await store.create_session(f"Title {EVIL}", 1_000)
    parent = None
    for number in range(3):
        asked = user(f"Question {number} {EVIL}", parent)
        said = answer(f"Answer {number} {EVIL}", asked.id)
        record = replace(
            turn(session_id, said, asked=asked, tokens=10),
            model=f"Tiny {EVIL}",
            preset_json=json.dumps({"name": "daily", "n_batch": 512, "type_k": "q8_0", "flash_attn": "on", "system": SYSTEM}),
        )
        await store.save_message(session_id, asked)
        await store.save_turn(noisy(record) if number == 2 else record, said)
        store.put_sample(sample(session_id, 1_000 * number, said.id))
        parent = said.id
    store.put_event(wall_ms=5, session_id=session_id, turn_id=None, kind="governor", text="4 threads: a neighbour took 2 cores")
    await store.flush()
    return session_id


@pytest.fixture
def exported(path: Path, session_id: int) -> Callable[..., str]:
    def export(what: What, form: Format, *, texts: bool = False, sessions: tuple[int, ...] | None = (session_id,)) -> str:
        out = io.StringIO()
        export_to_stream(path, Export(what, form, Selection(sessions, texts)), out)
        return out.getvalue()

    return export


@pytest.mark.parametrize(("what", "rows"), [(What.TURNS, 3), (What.SAMPLES, 3), (What.TOKENS, 30), (What.EVENTS, 1), (What.CHAT, 6)])
def test_every_table_has_the_same_rows_in_csv_json_and_jsonl(exported: Callable[..., str], what: What, rows: int) -> None:
    objects = json.loads(exported(what, Format.JSON))
    assert [json.loads(line) for line in exported(what, Format.JSONL).splitlines()] == objects
    table = list(csv.DictReader(io.StringIO(exported(what, Format.CSV), newline="")))
    assert len(objects) == len(table) == rows
    assert [list(row) for row in table] == [list(row) for row in objects]


@pytest.mark.parametrize("what", What)
@pytest.mark.parametrize("form", [Format.CSV, Format.JSON, Format.JSONL, Format.MD, Format.HTML])
def test_an_empty_selection_is_a_valid_file(path: Path, store: Store, what: What, form: Format) -> None:
    out = io.StringIO()
    export_to_stream(path, Export(what, form, Selection(None)), out)
    if form is Format.JSON:
        assert json.loads(out.getvalue()) == []


@pytest.mark.parametrize("form", Format)
def test_messages_titles_and_system_prompts_stay_behind_unless_asked_for(exported: Callable[..., str], form: Format) -> None:
    text = exported(What.TURNS, form)
    assert "Question" not in text
    assert "Title" not in text
    assert SYSTEM not in text


def test_asked_for_they_come_along(exported: Callable[..., str]) -> None:
    assert SYSTEM in exported(What.TURNS, Format.CSV, texts=True)
    for form in (Format.MD, Format.HTML):
        page = exported(What.TURNS, form, texts=True)
        assert "Question 0" in page
        assert "Title" in page


def test_all_sessions_and_what_belongs_to_none(exported: Callable[..., str]) -> None:
    assert len(json.loads(exported(What.SAMPLES, Format.JSON, sessions=None))) == 3


def test_tokens_carry_the_gap_before_each_and_its_verdict(exported: Callable[..., str]) -> None:
    rows = json.loads(exported(What.TOKENS, Format.JSON))
    assert (rows[0]["token"], rows[0]["since_first_ms"], rows[0]["itl_ms"]) == (1, 0.0, None)
    assert (rows[1]["since_first_ms"], rows[1]["itl_ms"], rows[1]["stall"]) == (16.1, 16.1, 0)


def test_a_cell_that_a_spreadsheet_would_run_is_text(store: Store, exported: Callable[..., str]) -> None:
    rows = list(csv.reader(io.StringIO(exported(What.EVENTS, Format.CSV))))
    assert rows[1][-1] == "4 threads: a neighbour took 2 cores"
    from engine.store.export.escaping import spreadsheet_cell

    assert [spreadsheet_cell(value) for value in ("=1+1", "@x", "-2", -2, 1.5)] == ["'=1+1", "'@x", "'-2", -2, 1.5]


class TestLlamaBench:
    def rows(self, text: str) -> list[dict[str, object]]:
        loaded: list[dict[str, object]] = json.loads(text)
        return loaded

    def test_a_turn_makes_a_pp_and_a_tg_row_with_its_fields_in_its_order(self, exported: Callable[..., str]) -> None:
        rows = self.rows(exported(What.TURNS, Format.LLAMA_BENCH_JSON))
        assert len(rows) == 6
        assert list(rows[0]) == [*FIELDS, *SAMPLE_FIELDS]
        prefill, decode = rows[:2]
        assert (prefill["n_prompt"], prefill["n_gen"], prefill["n_depth"], prefill["n_threads"]) == (30, 0, 7, 8)
        assert (decode["n_prompt"], decode["n_gen"], decode["n_depth"], decode["n_threads"]) == (0, 10, 37, 4)
        assert prefill["avg_ts"] == pytest.approx(30 / 0.374)
        assert (prefill["n_batch"], prefill["type_k"], prefill["type_v"], prefill["flash_attn"]) == (512, "q8_0", "f16", 1)
        assert (prefill["build_number"], prefill["cpu_info"], prefill["test_time"]) == (1234, "A CPU", "1970-01-01T00:00:02Z")

    def test_what_is_not_known_is_not_zero(self, exported: Callable[..., str]) -> None:
        row = self.rows(exported(What.TURNS, Format.LLAMA_BENCH_JSON))[0]
        assert row["model_size"] is None
        assert row["poll"] is None

    def test_csv_has_its_heading(self, exported: Callable[..., str]) -> None:
        text = exported(What.TURNS, Format.LLAMA_BENCH_CSV)
        assert text.splitlines()[0] == ",".join(FIELDS)
        assert len(list(csv.reader(io.StringIO(text)))) == 7

    def test_jsonl_has_a_row_per_line(self, exported: Callable[..., str]) -> None:
        assert [json.loads(line)["n_gen"] for line in exported(What.TURNS, Format.LLAMA_BENCH_JSONL).splitlines()] == [0, 10] * 3

    def test_sql_runs_and_gives_the_rows_back(self, exported: Callable[..., str]) -> None:
        db = sqlite3.connect(":memory:")
        db.executescript(exported(What.TURNS, Format.LLAMA_BENCH_SQL))
        assert db.execute("SELECT n_prompt, n_gen, model_size, model_type FROM llama_bench LIMIT 1").fetchone() == (
            30,
            0,
            None,
            f"Tiny {EVIL} Q4_K_M",
        )

    def test_build_and_commit_are_found_in_a_version(self) -> None:
        assert build_of("0.3.36, llama.cpp b6789 (0a1b2c3d)") == (6789, "0a1b2c3d")
        assert build_of("0.3.36") == (None, None)

    def test_the_command_line_survives_a_shell(self) -> None:
        line = command_line(
            model_path="/m/a b; rm -rf ~.gguf", preset_json='{"n_ubatch": "auto"}', threads=4, n_prompt=512, n_gen=128, n_depth=0
        )
        assert line == "llama-bench -m '/m/a b; rm -rf ~.gguf' -p 512 -n 128 -t 4 -b 512 -ctk f16 -ctv f16 -fa auto"


class Page(HTMLParser):
    """What a browser would see: the elements, their attributes, and the text."""

    VOID = frozenset({"meta", "hr", "br"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


class TestReport:
    def test_it_holds_the_result_the_charts_the_run_card_the_rows_and_the_chat(self, exported: Callable[..., str]) -> None:
        page = Page(exported(What.TURNS, Format.HTML, texts=True))
        for words in ("box", "A CPU, 8 cores", "avx2 fma", "Linux 6.1", "b1234", "f00d", "a busy neighbour (1)", "3, of which 2 clean"):
            assert words in page.text, words
        assert "llama-bench -m" in page.text
        assert "4 threads: a neighbour took 2 cores" in page.text
        for chart in ("Decode speed (tokens/s)", "Time to first token (ms)", "Inter-token latency (ms)", "Processor (%)"):
            assert chart in page.text, chart
        assert page.elements.count("article") == 6
        assert page.text.count("f00d") == 1, "what the card says is not said again in each row"
        places = [page.text.index(words) for words in ("No turn decoded enough", "Decode speed (", "Run card", "3 rows", "Question 0")]
        assert places == sorted(places)

    @pytest.mark.parametrize("what", What)
    def test_nothing_in_it_runs_or_is_fetched(self, exported: Callable[..., str], what: What) -> None:
        page = Page(exported(what, Format.HTML, texts=True))
        allowed = "html head meta title style body h1 h2 h3 section div svg text path p em strong code a blockquote ul ol li hr "
        allowed += "table thead tbody tr th td article pre details summary"
        assert set(page.elements) <= set(allowed.split())
        names = {name for name, _ in page.attributes}
        assert not any(name.startswith("on") or name in {"src", "style"} for name in names)
        assert ("content", POLICY) in page.attributes
        assert not set(page.text) & set("\x1b\u202e")

    def test_markdown_says_the_same(self, exported: Callable[..., str]) -> None:
        text = exported(What.TURNS, Format.MD, texts=True)
        assert "| Repeat with | llama-bench" in text.replace("\\", "")
        assert text.count("\n## User") == text.count("\n## Assistant") == 3
        assert "<script>" not in text.replace("\\<", "")
        assert not set(text) & set("\x1b\u202e")

    def test_ids_are_short_and_no_value_is_a_dict(self, exported: Callable[..., str]) -> None:
        for form in (Format.MD, Format.HTML):
            text = exported(What.TURNS, form)
            assert not re.search(r"\d{12}", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))
            assert "{'" not in text
            assert "predicted_per_second" not in text
            assert "Decode speed, tokens/s" in text

    async def test_it_names_the_fastest_setting_how_much_faster_it_is_and_how_sure_that_is(self, path: Path, store: Store) -> None:
        async def measure(slow: int) -> str:
            session_id = await store.create_session("Speeds", 1)
            for number in range(2 * 6):
                said = answer("Done", None)
                record = turn(session_id, said, tokens=40)
                took = record.timings.predicted_ms * (1 + number / 100) * (1 if number % 2 else 1 + slow / 100)
                timings = replace(record.timings, predicted_ms=took)
                await store.save_turn(replace(record, timings=timings, threads=4 if number % 2 else 2), said)
            await store.flush()
            out = io.StringIO()
            export_to_stream(path, Export(What.TURNS, Format.MD, Selection((session_id,))), out)
            return out.getvalue()

        sure = await measure(slow=30)
        assert re.search(
            r"^4 threads was fastest with 5\d\.\d tokens/s, (29|3\d) % faster \(\+2\d to \+3\d %\) than 2 threads\. The difference is",
            sure,
            re.M,
        )
        assert re.search(r"^\| 2 threads \| 6 \| 4\d\.\d \| 2\d % slower", sure, re.M)
        assert "possibly by chance" in await measure(slow=1)


class TestChat:
    """The chat as a document."""

    async def talk(self, store: Store) -> int:
        session_id = await store.create_session("On *stars*", 1_000)
        asked = user("# Why\n\n```py\nopen")
        first = answer("Old answer", asked.id)
        second = replace(answer("Because **so**.\n\n| a | b |\n|---|---|\n| 1 | 2 |", asked.id), thinking="hm\n\n# not a title")
        await store.save_message(session_id, asked)
        await store.save_turn(turn(session_id, first, asked=asked), first)
        await store.save_turn(turn(session_id, second, asked=asked), second)
        await store.flush()
        return session_id

    def document(self, path: Path, session_id: int, form: Format = Format.MD, *, branches: bool = False) -> str:
        out = io.StringIO()
        export_to_stream(path, Export(What.CHAT, form, Selection((session_id,), texts=True, branches=branches)), out)
        return out.getvalue()

    async def test_it_is_a_title_a_line_of_facts_and_the_messages_shown(self, path: Path, store: Store) -> None:
        text = self.document(path, await self.talk(store))
        head, *messages = re.split(r"^## ", text, flags=re.M)
        assert re.fullmatch(r"# On \\\*stars\\\*\n\nSession 1, 2 messages, \d{4}-\S+ \S+ UTC, Tiny 0\.6B Q4_K_M\n\n", head)
        assert re.fullmatch(r"User, .*\n\n### Why\n\n```py\nopen\n```\n\n", messages[0])
        assert messages[1].endswith("\n\nBecause **so**.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
        assert "> *Thinking*\n" in messages[1]
        assert "Old answer" not in text
        for measured in ("Run card", "tokens/s", "| Turn"):
            assert measured not in text

    async def test_other_branches_come_where_they_are_wanted(self, path: Path, store: Store) -> None:
        text = self.document(path, await self.talk(store), branches=True)
        assert text.index("Because") < text.index("# On \\*stars\\*, branch 2") < text.index("Old answer")
        assert text.count("### Why") == 1

    async def test_it_can_be_imported_again(self, path: Path, store: Store, tmp_path: Path) -> None:
        file = tmp_path / "chat.md"
        file.write_text(self.document(path, await self.talk(store), branches=True), "utf-8")
        (session,) = read_conversations(file)
        assert session.title == "On *stars*"
        asked, said = session.messages
        assert asked.text == "# Why\n\n```py\nopen\n```"
        assert said.text == "Because **so**.\n\n| a | b |\n|---|---|\n| 1 | 2 |"
        assert said.thinking == "hm\n\n# not a title"

    async def test_a_page_of_it_renders_the_markdown(self, path: Path, store: Store) -> None:
        page = Page(self.document(path, await self.talk(store), Format.HTML))
        for element in ("h1", "h2", "h3", "strong", "table", "pre", "details"):
            assert element in page.elements, element
        assert "Run card" not in page.text


class TestFile:
    @pytest.fixture
    def wanted(self, session_id: int) -> Export:
        return Export(What.TURNS, Format.CSV, Selection((session_id,)))

    def test_it_is_for_its_owner_only_and_nothing_else_is_left_beside_it(self, path: Path, wanted: Export, tmp_path: Path) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        written = export_to_file(path, wanted, folder / wanted.default_name())
        assert [file.name for file in folder.iterdir()] == ["xchat-session-1-turns.csv"]
        assert stat.S_IMODE(written.stat().st_mode) == 0o600

    def test_an_existing_file_is_kept_unless_overwriting_was_said(self, path: Path, wanted: Export, tmp_path: Path) -> None:
        target = tmp_path / "a.csv"
        target.write_text("mine")
        with pytest.raises(UsageError, match="exists already"):
            export_to_file(path, wanted, target)
        assert target.read_text() == "mine"
        export_to_file(path, wanted, target, overwrite=True)
        assert target.read_text().startswith("turn_id,")

    def test_a_folder_and_a_missing_folder_are_said_to_be_that(self, path: Path, wanted: Export, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="is a folder"):
            export_to_file(path, wanted, tmp_path, overwrite=True)
        with pytest.raises(StoreError, match="There is no folder"):
            export_to_file(path, wanted, tmp_path / "no" / "where.csv")

    def test_a_session_that_is_not_there_leaves_no_file(self, path: Path, store: Store, tmp_path: Path) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        with pytest.raises(SessionMissingError):
            export_to_file(path, Export(What.TURNS, Format.CSV, Selection((99,))), folder / "x.csv")
        assert list(folder.iterdir()) == []

    def test_progress_counts_up_to_all_rows_and_may_stop_the_export(self, path: Path, wanted: Export, tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        export_to_file(path, wanted, tmp_path / "a.csv", progress=lambda done, total: seen.append((done, total)))
        assert seen == [(0, 3), (3, 3)]

        def stop(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export_to_file(path, wanted, tmp_path / "b.csv", progress=stop)
        assert not (tmp_path / "b.csv").exists()

    def test_a_disk_that_is_full_leaves_the_old_file(self, path: Path, session_id: int, tmp_path: Path) -> None:
        target = tmp_path / "out" / "a.csv"
        target.parent.mkdir()
        target.write_text("mine")
        # A limit on the size of files is the full disk that a test can have.
        code = f"""
import resource, signal
from pathlib import Path
from engine.store.export.exporter import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
try:
    export_to_file(Path({str(path)!r}), Export(What.TURNS, Format.CSV, Selection(({session_id},))), Path({str(target)!r}), overwrite=True)
except Exception as error:
    print(type(error).__name__)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.split() == ["StoreFullError"]
        assert [(file.name, file.read_text()) for file in target.parent.iterdir()] == [("a.csv", "mine")]


@pytest.mark.parametrize(
    ("text", "target", "form"),
    [
        ("csv", None, Format.CSV),
        ("llama-bench", None, Format.LLAMA_BENCH_CSV),
        ("llama-bench", Path("a.sql"), Format.LLAMA_BENCH_SQL),
        ("llama-bench", Path("a.JSON"), Format.LLAMA_BENCH_JSON),
        ("llama-bench", Path("a.txt"), Format.LLAMA_BENCH_CSV),
        ("llama-bench-jsonl", Path("a.txt"), Format.LLAMA_BENCH_JSONL),
    ],
)
def test_a_format_is_what_a_person_means(text: str, target: Path | None, form: Format) -> None:
    assert Format.parse(text, target) is form


def test_nonsense_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        Format.parse("pdf")
    with pytest.raises(UsageError):
        Export(What.CHAT, Format.LLAMA_BENCH_CSV, Selection(None))
