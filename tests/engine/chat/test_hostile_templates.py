"""Two hundred templates that want the processor or the memory for themselves: each ends in an error, in a child that is limited."""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from jinja2 import TemplateError

from engine.chat.prompt import PromptBuilder
from engine.chat.rendered import PreparationCancelled
from engine.chat.templating.budget import TemplateLimitError
from engine.chat.templating.process import MEMORY_LIMIT, TemplateProcess
from engine.chat.templating.sandbox import Sandbox
from engine.messages import ChatMessage, ChatPrompt, Role
from tests.engine.chat import templates
from tests.engine.chat.vocabulary import WordVocabulary

REPOSITORY = Path(__file__).parents[3]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1), "CET"))
VARIABLES: dict[str, object] = {"messages": [{"role": "user", "content": "Hi \ud800 é 😀"}], "tools": None, "add_generation_prompt": True}
MOST_CPU_S = 0.1
"""Processor time of this process for one of them: nothing else can hold the interpreter."""
MOST_BYTES = MEMORY_LIMIT + (64 << 20)

LONG = "{% set A = ('a'*100)*39000 %}{% set B = ('b'*100)*39000 %}{% set L = range(40000)|list %}"
SEARCHES = ("strip", "lstrip", "rstrip", "find", "rfind", "index", "count", "split", "rsplit", "partition", "rpartition", "replace", "join")
ARGUMENTS = ("B ~ 'a'", "'ab' ~ A[:1900000]", "A[:1900000] ~ 'b'", "A, B")
FILTERS = (
    "trim(B ~ 'a')", "map(attribute=('0.'*100)*19000 ~ '0')|list", "replace('a', B)", "replace('', B)", "tojson(separators=(A, B))",
    "tojson(indent=1000000000)", "indent(1000000000)", "indent(B)", "join(B)", "list|join(B)", "sort(attribute=B)", "groupby(B)|list",
    "unique(attribute=B)|list", "wordcount", "format(A, B, A)", "int(base=36)", "string|list|sort|join(A)", "batch(3, B)|list",
    "center(1000000000)", "wordwrap(1)", "urlize", "pprint", "xmlattr", "round(1000000000)", "list|map('replace', 'a', B)|list",
)  # fmt: skip
LOOPS = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% set n = namespace(t='x') %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}",
    "{% set n = namespace(t=[1]) %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}",
    "{% set n = namespace(t=[]) %}{% for i in range(99999) %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t }}",
    "{{ range(10**12)|list }}",
    "{{ range(10**9)|sum }}",
    "{{ 9**9**9 }}",
    "{{ 'x' * 10**10 }}",
    "{{ [0] * 10**10 }}",
    "{{ (('f'*100)*38000)|int(base=16) % ((('f'*100)*19000)|int(base=16)) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ L|tojson(separators=('x'*100000, ':')) }}",
    "{% set x = L|map('string')|map('upper')|list %}{{ x|join(B) }}",
    "{% for a in L if L == L and L == L %}{% if L + L == L %}{% endif %}{% endfor %}",
    "{{ ('(a+)+' * 9999).split('a' * 99999 ~ B) ~ A ~ B }}",
    "{% for i in L %}{{ A }}{% endfor %}",
    "{% for i in L %}{% set x = A.upper() ~ B %}{% endfor %}",
    "{% for i in L %}{{ L|tojson }}{% endfor %}",
    "{% for i in L %}{% if A in B ~ A %}{{ B }}{% endif %}{{ A|length }}{{ L|string }}{% endfor %}",
)


def hostile() -> list[str]:
    """The first two hundred: every search with every argument, every filter on a text and a list, alone and in loops."""
    calls = [f"A.{name}({argument})" for name, argument in itertools.product(SEARCHES, ARGUMENTS)]
    calls += [f"{value}|{name}" for value, name in itertools.product(("A", "L"), FILTERS)]
    endless = "{% for i in L %}{% for j in L %}{% set x = CALL %}{{ A ~ B }}{% endfor %}{% endfor %}"
    recursive = "{% macro m(n) %}{% set x = CALL %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(0) }}"
    wrapped = [LONG + frame.replace("CALL", call) for frame, call in itertools.product((endless, recursive), calls)]
    return [*(LONG + loop for loop in LOOPS), *wrapped][:200]


@pytest.fixture(scope="module")
def process() -> Iterator[TemplateProcess]:
    process = TemplateProcess(max_seconds=0.2)
    yield process
    process.close()


def render_all() -> int:
    """Render every hostile template; returns the largest resident size of a child in bytes."""
    process = TemplateProcess(max_seconds=0.2)
    cases = hostile()
    assert len(cases) == 200
    for number, source in enumerate(cases):
        began = time.thread_time()
        with pytest.raises(TemplateError) as caught:
            process.render_metered(process.compile_template(source), VARIABLES, now=NOW)
        assert time.thread_time() - began < MOST_CPU_S, f"{number}: {source[-200:]}"
        assert str(caught.value), f"{number}: {source[-200:]}"
    process.close()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10


@pytest.mark.slow
def test_no_hostile_template_takes_the_screen_or_the_memory() -> None:
    # In a process of its own: RUSAGE_CHILDREN also has the children of other tests, and until `exec` a child has the size of its parent.
    program = "from tests.engine.chat.test_hostile_templates import render_all; print(render_all())"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST_BYTES


@pytest.mark.parametrize("name", ["CHATML", "QWEN3"])
def test_the_child_renders_what_this_process_renders(name: str, process: TemplateProcess) -> None:
    source = getattr(templates, name) + "{{ strftime_now('%Y-%m-%d %H:%M %Z') }}"
    sandbox = Sandbox()
    here = sandbox.render_metered(sandbox.compile_template(source), VARIABLES, now=NOW)
    assert process.render_metered(process.compile_template(source), VARIABLES, now=NOW) == here
    assert "CET" in here


def test_errors_come_with_their_reason(process: TemplateProcess) -> None:
    with pytest.raises(TemplateError, match="no system role"):
        process.render_metered("{{ raise_exception('no system role') }}", VARIABLES, now=NOW)
    with pytest.raises(TemplateError, match="endfor"):
        process.compile_template("{% for x in y %}")


def test_a_killed_child_is_started_again(process: TemplateProcess) -> None:
    first = process._process
    assert first is not None
    first.kill()
    with pytest.raises(TemplateLimitError):
        process.render_metered("a", VARIABLES, now=NOW)
    assert process.render_metered("b", VARIABLES, now=NOW) == "b"


@pytest.mark.slow
def test_preparing_a_prompt_can_be_stopped_while_its_template_runs() -> None:
    endless = "{% for i in range(40000) %}{% for i in range(40000) %}{% endfor %}{% endfor %}"
    builder = PromptBuilder(WordVocabulary(["<|im_start|>", "<|im_end|>"], [], eos="<|im_end|>"), endless, confined=True)
    stopped = threading.Event()
    threading.Timer(0.2, stopped.set).start()
    prompt = ChatPrompt((ChatMessage(Role.USER, "Hi"),), began_ms=0)
    with pytest.raises(PreparationCancelled):
        builder.build(prompt, 1000, stopped.is_set)
    builder.close()
    builder.close()


def test_the_child_ends_with_its_parent() -> None:
    process = TemplateProcess()
    assert process.render_metered("{{ 1 }}", VARIABLES, now=NOW) == "1"
    child = process._process
    assert child is not None
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(30) == 0
