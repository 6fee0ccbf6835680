"""What a line of a batch file may be, and what is said of one that can't be answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.batch.lines import MOST_BYTES, BatchLine, Form, Shape, custom_id_of, parse_line
from engine.batch.source import BatchSource
from engine.errors import UsageError
from engine.messages import ChatPrompt, Role, TextPrompt
from engine.presets.preset import Preset, Sampling

USER = [{"role": "user", "content": "Hi"}]


def parsed(value: object, form: Form = Form.JSONL, system: str | None = None) -> BatchLine:
    raw = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    return parse_line(raw, custom_id_of(raw, 7, form), form, system)


def chat(line: BatchLine) -> list[tuple[Role, str]]:
    assert isinstance(line.prompt, ChatPrompt)
    return [(message.role, message.text) for message in line.prompt.messages]


def test_a_line_of_openai_is_a_request_with_its_own_settings() -> None:
    body = {
        "model": "gpt",
        "messages": [{"role": "developer", "content": "Be brief."}, *USER],
        "max_completion_tokens": 9,
        "temperature": 0,
    }
    line = parsed({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {**body, "seed": 3, "stop": "END"}})
    assert (line.custom_id, line.shape, line.stop) == ("a", Shape.CHAT, ("END",))
    assert chat(line) == [(Role.SYSTEM, "Be brief."), (Role.USER, "Hi")]
    made = line.preset(Preset(name="mine", sampling=Sampling(top_k=5)))
    assert (made.max_tokens, made.sampling) == (9, Sampling(top_k=5, temperature=0.0, seed=3))


def test_completions_plain_objects_and_texts_are_requests_too() -> None:
    line = parsed({"custom_id": 4, "url": "/v1/completions", "body": {"prompt": "Once", "stop": ["\n"]}})
    assert (line.custom_id, line.shape, line.prompt) == ("4", Shape.COMPLETION, TextPrompt("Once"))
    assert chat(parsed({"prompt": "Hi", "id": "x"}, system="Sys")) == [(Role.SYSTEM, "Sys"), (Role.USER, "Hi")]
    assert chat(parsed({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]})) == [
        (Role.USER, "ab")
    ]
    text = parsed('{"not": "json for us"}', Form.TEXT)
    assert (text.custom_id, chat(text)) == ("line-7", [(Role.USER, '{"not": "json for us"}')])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "not a request"),
        ("[1, 2]", "not a request"),
        ("[" * 50_000, "not a request"),
        ('"text"', "not a request"),
        ({}, "no messages"),
        ({"custom_id": "a", "url": "/v1/chat/completions"}, "no body"),
        ({"custom_id": "a", "url": "/v1/embeddings", "body": {}}, "POST /v1/embeddings is not supported"),
        ({"custom_id": "a", "method": "GET", "url": "/v1/chat/completions", "body": {}}, "GET"),
        ({"custom_id": "a", "url": "/v1/chat/completions", "body": {"prompt": "x"}}, "no messages"),
        ({"custom_id": "a", "url": "/v1/completions", "body": {"messages": USER}}, "no prompt"),
        ({"messages": []}, "last message"),
        ({"messages": "Hi"}, "not a request"),
        ({"messages": [{"role": "user"}]}, "no content"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "role 'critic'"),
        ({"messages": [*USER, {"role": "system", "content": "x"}, *USER]}, "system message"),
        ({"messages": [*USER, {"role": "assistant", "content": "x"}]}, "last message"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "not text"),
        ({"prompt": ""}, "empty"),
        ({"prompt": 5}, "not a request"),
        ({"prompt": "x", "n": 0}, "n = 0"),
        ({"prompt": "x", "n": 10_000}, "n = 10000"),
        ({"prompt": "x", "temperature": 99}, "sampling.temperature"),
        ({"prompt": "x", "temperature": "hot"}, "sampling.temperature"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "x", "tools": [{}]}, "tools"),
        ({"prompt": "x", "response_format": {"type": "xml"}}, "response_format"),
        ({"prompt": "x", "stop": 5}, "not a request"),
        ({"custom_id": {"a": 1}, "prompt": "x"}, "not a request"),
    ],
)
def test_a_line_that_can_not_be_answered_says_why(value: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parsed(value)


def test_a_response_format_replaces_the_form_of_the_preset() -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": {"type": "null"}}}
    preset = parsed({"prompt": "x", "response_format": wanted}).preset(Preset(regex="a+"))
    assert (preset.json_schema, preset.regex) == ('{"type": "null"}', None)


def test_lines_with_a_common_beginning_are_answered_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("b one\n\na one\r\nb two\n   \na two")
    source = BatchSource(path)
    assert [chat(line)[0][1] for line in source.lines(set())] == ["a one", "a two", "b one", "b two"]
    assert sorted(source.numbers.values()) == [1, 3, 4, 6]
    second = source.entries[1].id
    assert [line.custom_id for line in source.lines({second})] == ["line-3", "line-1", "line-4"]


def test_bad_lines_stand_apart_and_the_rest_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    good = json.dumps({"custom_id": "good", "prompt": "x"})
    huge = '{"prompt": "' + "x" * (MOST_BYTES + 5) + '"}'
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join([good, "{", huge, good, '{"prompt": "y"}', ""]).encode() + b'\xff\xfe {"prompt": 1}\n')
    source = BatchSource(path)
    assert source.form is Form.JSONL
    assert [entry.custom_id for entry in source.entries] == ["good", "line-5"]
    said = {bad.number: str(bad.error) for bad in source.bad}
    assert list(said) == [2, 3, 4, 6]
    assert "longer than 8.39 MB" in said[3]
    assert "repeats the id of line 1" in said[4]
    assert len(source.numbers) == 6, "each line has an id of its own, the repeated one too"


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_prompt_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none.txt"
    with pytest.raises(UsageError, match="can't be read"):
        BatchSource(path)
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no prompt"):
        BatchSource(path)
    with pytest.raises(UsageError, match="can't be read"):
        BatchSource(tmp_path)


def test_a_file_that_changes_under_way_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("first\n" + "s" * 20_000 + "\n")
    lines = BatchSource(path).lines(set())
    next(lines)
    path.write_text("first\n" + "t" * 20_000 + "\n")
    with pytest.raises(UsageError, match="changed during the run"):
        next(lines)
