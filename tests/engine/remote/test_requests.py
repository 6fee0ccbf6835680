"""What servers of each kind are asked, which of several is asked, and how their answers are read."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.backend import PrefillProgressed, StopReason, TokensDecoded
from engine.errors import EngineError, ModelError, XchatError
from engine.messages import ChatPrompt, TextPrompt
from engine.presets.preset import Sampling
from tests.engine.remote.asking import QUICK, Asking, conversation
from tests.engine.remote.scripted import DONE, Do, Script, ScriptedServer, chunked, delta, event, head, response, says

KIND: Mapping[str, str] = {"llama.cpp": "llamacpp", "xchat": "xchat", "vLLM": "vllm", "Ollama": "library", "other": "someone"}
HELLO = head() + says("Hel", "lo") + DONE
STOP_MS = 100


def listing(*names: str, kind: str = "other", **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "owned_by": KIND[kind], **more} for name in names]}


class Servers:
    """Scripted servers that are closed in the end, and engines on them."""

    def __init__(self) -> None:
        self.all: list[ScriptedServer] = []
        self.asking: list[Asking] = []

    def serve(self, script: Any = (HELLO,), *, models: object = None, tls: tuple[Path, Path] | None = None) -> ScriptedServer:
        self.all.append(ScriptedServer({"m": script}, models=listing("m") if models is None else models, tls=tls))
        return self.all[-1]

    def engine(self, *servers: ScriptedServer, **more: Any) -> Asking:
        self.asking.append(Asking(*(server.url for server in servers), **more))
        return self.asking[-1]

    def ask(self, script: Script, **more: Any) -> Any:
        """The log of an answer that a script gives."""
        asking = self.engine(self.serve(script))
        asking.load()
        log = asking.ask("Hi", **more)
        log.end()
        return log


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    for asking in made.asking:
        asking.close()
    for server in made.all:
        server.close()


def asked(server: ScriptedServer) -> dict[str, Any]:
    """The body of the last question."""
    body = [seen.body for seen in server.seen if seen.body is not None][-1]
    assert isinstance(body, dict)
    return body


BASE = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hi"}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.7,
    "top_p": 0.95,
}
OURS = {"top_k": 40, "min_p": 0.05, "repeat_penalty": 1.0, "repeat_last_n": 64}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("llama.cpp", {**BASE, **OURS, "cache_prompt": True, "timings_per_token": True, "return_progress": True}),
        ("xchat", {**BASE, **OURS}),
        ("vLLM", {**BASE, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.0}),
        ("Ollama", BASE),
        ("other", BASE),
    ],
)
def test_each_kind_of_server_is_asked_in_its_own_words(servers: Servers, kind: str, expected: dict[str, Any]) -> None:
    server = servers.serve(models=listing("m", kind=kind))
    asking = servers.engine(server)
    asking.load("m")
    asking.ask("Hi").end()
    assert asked(server) == expected


def test_the_settings_of_the_preset_are_sent_where_there_are_such_settings(servers: Servers) -> None:
    server = servers.serve(models=listing("m", kind="llama.cpp"))
    asking = servers.engine(server)
    asking.load("m")
    sampling = Sampling(temperature=0.0, seed=7, xtc_probability=0.5, logit_bias="15+1 16-inf", presence_penalty=0.5)
    asking.ask("Hi", sampling=sampling, thinking="off", max_tokens=9).end()
    body = asked(server)
    assert (body["temperature"], body["seed"], body["xtc_probability"], body["presence_penalty"], body["max_tokens"]) == (
        0.0,
        7,
        0.5,
        0.5,
        9,
    )
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["logit_bias"] == [[15, 1.0], [16, False]]


def test_what_a_server_is_not_asked_for_is_said(servers: Servers) -> None:
    log = servers.ask((HELLO,), sampling=Sampling(mirostat=2), thinking="on")
    assert log.ready.prompt.notices == ("Not sent to this server, which has no such setting: mirostat, thinking",)


@pytest.mark.parametrize(("kind", "more"), [("llama.cpp", {}), ("vLLM", {"continue_final_message": True, "add_generation_prompt": False})])
def test_an_answer_is_continued_where_the_server_can(servers: Servers, kind: str, more: dict[str, Any]) -> None:
    server = servers.serve(models=listing("m", kind=kind))
    asking = servers.engine(server)
    asking.load("m")
    asking.ask(prompt=ChatPrompt(conversation(("Hi", "Half an")), continue_answer=True)).end()
    body = asked(server)
    assert body["messages"][-1] == {"role": "assistant", "content": "Half an"}
    assert body.items() >= more.items()


def test_an_answer_is_not_continued_where_the_server_would_begin_another(servers: Servers) -> None:
    asking = servers.engine(servers.serve())
    asking.load()
    end = asking.ask(prompt=ChatPrompt(conversation(("Hi", "Half an")), continue_answer=True)).end()
    assert "can't continue an answer" in str(end.error)


def test_bare_text_is_refused_in_words(servers: Servers) -> None:
    asking = servers.engine(servers.serve())
    asking.load()
    assert "answers messages only" in str(asking.ask(prompt=TextPrompt("Once")).end().error)


def test_thinking_that_is_sent_apart_is_thinking(servers: Servers) -> None:
    thoughts = (
        delta(reasoning_content="Let me "),
        delta(reasoning_content="see </think> it"),
        delta(content="It is "),
        delta(content="7."),
    )
    log = servers.ask((head(), chunked(*map(event, thoughts), end=False), DONE))
    assert log.texts() == ("Let me see </think> it", "It is 7.")


def test_thinking_in_the_text_is_thinking_too(servers: Servers) -> None:
    assert servers.ask((head() + says("<think>", "\nHm", "\n</think>\n\n", "Yes") + DONE,)).texts() == ("Hm", "Yes")


def test_thinking_after_the_answer_began_is_not_lost(servers: Servers) -> None:
    log = servers.ask((head(), chunked(event(delta(content="Yes")), event(delta(reasoning="hm")), end=False), DONE))
    assert log.texts() == ("", "Yeshm")


def test_private_characters_of_a_server_mark_nothing(servers: Servers) -> None:
    assert servers.ask((head() + says("\uf8f0no\uf8f1") + DONE,)).texts() == ("", "\ufffdno\ufffd")


def test_another_model_than_the_one_asked_for_is_said(servers: Servers) -> None:
    other = {"model": "cheap", **delta(content="Hi")}
    assert servers.ask((head(), chunked(event(other), end=False), DONE)).ready.prompt.notices[0].endswith("answers with cheap, not with m")


@pytest.mark.parametrize("named", ["m", "M", "org/m", "m-2026-10-05", "m.gguf", "m:latest"])
def test_a_longer_name_of_the_same_model_is_not_another_model(servers: Servers, named: str) -> None:
    log = servers.ask((head(), chunked(event({"model": named, **delta(content="Hi")}), end=False), DONE))
    assert log.ready.prompt.notices == ()


def test_tokens_that_come_together_are_counted_by_the_server(servers: Servers) -> None:
    chunks = [{**delta(content=text), "timings": {"predicted_n": n}} for text, n in (("One two", 2), (" three four five", 5))]
    usage = {"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 20}}}
    log = servers.ask((head(), chunked(*map(event, (*chunks, delta("stop"), usage, b"[DONE]")))))
    end = log.end()
    assert [len(event.token_ns) for event in log.events if isinstance(event, TokensDecoded)] == [2, 3]
    assert (end.timings.predicted_n, end.timings.cache_n, end.timings.prompt_n, end.prompt_tokens) == (6, 20, 10, 30)


def test_the_progress_of_a_prompt_is_passed_on(servers: Servers) -> None:
    progress = [{"choices": [], "prompt_progress": {"total": 100, "cache": 20, "processed": n, "time_ms": n}} for n in (20, 60, 100)]
    log = servers.ask((head(), chunked(*map(event, progress), end=False), HELLO[len(head()) :]))
    assert (log.ready.prompt.n_tokens, log.ready.cache_n) == (100, 20)
    steps = [event for event in log.events if isinstance(event, PrefillProgressed)]
    assert [(step.processed, step.total, step.eta_ms) for step in steps] == [(0, 80, 0.0), (40, 80, 60.0), (80, 80, 0.0)]


def test_figures_of_vllm_are_kept_by_name(servers: Servers) -> None:
    last = {**delta("stop"), "metrics": {"queue_time_ms": 3.5, "tokens_per_second": 80, "secret": "x"}}
    assert servers.ask((head() + says("Hi"), chunked(event(last)))).end().server == {"queue_time_ms": 3.5, "tokens_per_second": 80.0}


# Keys


def test_a_key_goes_to_its_server_and_nowhere_else(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", " sk-1\n")
    elsewhere = servers.serve()
    moved = response("307 Temporary Redirect", more=f"Location: {elsewhere.url}/v1/chat/completions\r\n")
    server = servers.serve((moved,))
    asking = servers.engine(server, key_env="LAB_KEY")
    asking.load()
    assert "redirects to" in str(asking.ask("Hi").end().error)
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer sk-1"}
    assert elsewhere.seen == []


@pytest.mark.parametrize(
    ("value", "words"), [(None, "is missing"), ("  ", "is missing"), ("clé", "can't be a key"), ("two words", "can't be a key")]
)
def test_a_key_that_is_missing_or_broken_is_said_before_any_request(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, value: str | None, words: str
) -> None:
    monkeypatch.delenv("LAB_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("LAB_KEY", value)
    server = servers.serve()
    with pytest.raises(ModelError, match=words):
        servers.engine(server, key_env="LAB_KEY").load()
    assert server.seen == []


# Several servers


def test_a_server_that_is_gone_does_not_delay_a_load_nor_a_turn(servers: Servers) -> None:
    gone, here = servers.serve(), servers.serve()
    gone.close()
    asking = servers.engine(gone, here)
    asking.load()
    for _ in range(4):
        assert asking.ask("Hi").texts()[1] == "Hello"


def test_another_server_steps_in_before_the_first_token_and_not_after_it(servers: Servers) -> None:
    failing, here = servers.serve((response("503 Busy"),)), servers.serve()
    asking = servers.engine(failing, here)
    asking.load()
    logs = [asking.ask("Hi") for _ in range(6)]
    assert {log.texts()[1] for log in logs} == {"Hello"}
    broken = servers.engine(servers.serve((head() + says("Hal"), Do.CLOSE)), servers.serve((head() + says("Hal"), Do.CLOSE)))
    broken.load()
    log = broken.ask("Hi")
    assert (log.end().reason, log.texts()[1]) == (StopReason.ERROR, "Hal")
    assert sum(seen.body is not None for server in servers.all[-2:] for seen in server.seen) == 1


def test_turns_go_to_the_least_busy_server(servers: Servers) -> None:
    slow: Script = (head() + says("Hi"), 0.1, DONE)
    both = servers.serve(slow), servers.serve(slow)
    asking = servers.engine(*both)
    asking.load()
    for log in [asking.ask("Hi") for _ in range(6)]:
        log.end()
    assert [sum(seen.body is not None for seen in server.seen) for server in both] == [3, 3]


def test_a_server_without_the_model_is_not_asked(servers: Servers) -> None:
    other, here = servers.serve(models=listing("else")), servers.serve()
    asking = servers.engine(other, here)
    asking.load("m")
    for _ in range(4):
        assert asking.ask("Hi").texts()[1] == "Hello"


def test_requests_over_the_limit_of_an_engine_wait_and_can_be_stopped(servers: Servers) -> None:
    server = servers.serve()
    asking = servers.engine(server, times=replace(QUICK, minute=0.4), per_minute=2)
    asking.load()
    began = time.perf_counter()
    logs = [asking.ask("Hi") for _ in range(4)]
    assert {log.texts()[1] for log in logs[:3]} == {"Hello"}
    assert time.perf_counter() - began >= 0.4
    assert logs[3].texts()[1] == "Hello"
    waiting = [asking.ask("Hi") for _ in range(3)]
    asking.backend.stop()
    assert waiting[2].end().reason is StopReason.CANCELLED


# Loading and stopping


def test_a_model_that_is_not_there_is_refused_with_those_that_are(servers: Servers) -> None:
    with pytest.raises(ModelError, match=r"lab has no model 'large': There are: m, n"):
        servers.engine(servers.serve(models=listing("m", "n"))).load("large")


@pytest.mark.parametrize("models", [{"data": []}, response("404 Not Found")])
def test_a_server_without_a_list_is_asked_for_the_model_that_is_named(servers: Servers, models: object) -> None:
    asking = servers.engine(servers.serve(models=models))
    assert asking.load("m").model.name == "lab/m"
    assert asking.ask("Hi").texts()[1] == "Hello"


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (response("200 OK", b"<html>Log in", "text/html"), "a web page, as a login"),
        (response("200 OK", b"[1, 2"), "is not JSON"),
        (response("200 OK", b"7"), "no list of models"),
        (response("200 OK", b'{"data": {"a": 1}}'), "no list of models"),
        (response("200 OK", b'{"data": [7, {"id": 3}, {"id": ""}, {"id": "\\u001b"}]}'), "has no models"),
        (response("200 OK", b" " * 8_000_001), "more than 8.00 MB"),
        (response("301 Moved", more="Location: /login\r\n"), "redirects to /login"),
        (response("401 No"), "asks for a key, and none is set"),
        (response("500 No"), "HTTP 500"),
        (response("200 OK", b"\x1f\x8b", more="Content-Encoding: gzip\r\n"), "compressed data"),
        (response("404 Not Found"), "has no such API"),
    ],
)
def test_a_list_that_is_none_is_named(servers: Servers, models: object, words: str) -> None:
    with pytest.raises(XchatError) as failure:
        servers.engine(servers.serve(models=models)).load()
    assert words in str(failure.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_a_certificate_of_nobody_is_refused_and_nothing_is_sent(servers: Servers, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 -keyout {key} -out {certificate}"
    subprocess.run(make.split(), check=True, capture_output=True)
    server = servers.serve(tls=(certificate, key))
    with pytest.raises(EngineError, match="a certificate that can't be trusted: self-signed certificate"):
        servers.engine(server).load()
    assert server.seen == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://nowhere.invalid", "is not known: Its name can't be resolved"),
        ("http://127.0.0.1:9", "can't be reached: Connection refused"),
        ("https://127.0.0.1:{port}", "does not speak TLS"),
    ],
)
def test_a_server_that_is_not_there_is_named(servers: Servers, url: str, words: str) -> None:
    plain = ScriptedServer({}, raw=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    servers.all.append(plain)
    servers.asking.append(Asking(url.format(port=plain.port)))
    with pytest.raises(EngineError, match=words):
        servers.asking[-1].load()


def test_what_was_loaded_stays_when_another_model_can_not_be(servers: Servers) -> None:
    asking = servers.engine(servers.serve())
    before = asking.load()
    with pytest.raises(ModelError):
        asking.load("large")
    assert asking.backend.loaded is before
    assert asking.ask("Hi").texts()[1] == "Hello"


@pytest.mark.parametrize("sent", [b"", head(), head() + says("Hel", "lo")])
def test_a_stop_closes_the_connection_at_once(servers: Servers, sent: bytes) -> None:
    server = servers.serve((sent,) if sent else ())
    asking = servers.engine(server)
    asking.load()
    log = asking.ask("Hi")
    while not any(seen.body is not None for seen in server.seen):
        time.sleep(0.001)
    if b"Hel" in sent:
        assert log.grew.wait(5)
    stopped = time.perf_counter()
    asking.backend.stop()
    assert log.end().reason is StopReason.CANCELLED
    question = next(seen for seen in server.seen if seen.body is not None)
    assert question.gone.wait(5)
    assert (time.perf_counter() - stopped) * 1e3 < STOP_MS * 5, "tens of milliseconds on a quiet machine"


def test_closing_ends_turns_and_connections(servers: Servers) -> None:
    asking = servers.engine(servers.serve((head() + says("Hi"),)))
    asking.load()
    log = asking.ask("Hi")
    assert log.grew.wait(5)
    asking.close()
    assert log.end().reason is StopReason.CANCELLED
    asking.close()
