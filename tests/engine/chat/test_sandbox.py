"""Chat templates come with model files: whatever one tries, rendering ends soon, in little memory, with an error in words."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from jinja2 import TemplateError

from engine.chat.templating.budget import MAX_STEPS, Meter, TemplateLimitError
from engine.chat.templating.sandbox import MAX_SOURCE, Sandbox

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MESSAGES = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]


def render(source: str, *, max_steps: int = MAX_STEPS, **variables: object) -> str:
    sandbox = Sandbox(max_steps=max_steps)
    return sandbox.render_metered(sandbox.compile_template(source), {"messages": MESSAGES, **variables}, now=NOW)


ENDLESS = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops whose test is never true": (
        "{% set r = range(99999)|list %}{% for a in r if a < 0 %}{% endfor %}"
        "{% for a in r %}{% for b in r if b < 0 %}{% endfor %}{% endfor %}"
    ),
    "a macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "a macro that calls itself forever": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a recursive loop": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "a test that sums a list each round": "{% set r = range(99999)|list %}{% for a in r if (r|sum) == 0 %}{% endfor %}",
    "a filter mapped over lists": "{% set r = range(9999)|list %}{% for a in r %}{% set x = [r, r, r]|map('sum')|list %}{% endfor %}",
    "sorting in every round": "{% set r = range(99999)|list %}{% for a in r %}{% set x = r|sort(reverse=true) %}{% endfor %}",
    "printing forever": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "searching in every round": "{% set s = 'ab' * 1000 %}{% for a in range(99999) %}{% if 'zz' in s %}{% endif %}{% endfor %}",
}

ENORMOUS = {
    "a long text": "{{ 'a' * 10000000000 }}",
    "a text doubled": "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}",
    "a text joined to itself": "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "a captured text doubled": (
        "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set c %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = c %}{% endfor %}"
    ),
    "plain text captured": (
        "{% macro m() %}" + "x" * 50_000 + "{% endmacro %}{% set c %}{% for i in range(99999) %}{{ m() }}{% endfor %}{% endset %}"
    ),
    "plain text in a captured loop": "{% set c %}{% for i in range(99999) %}" + "x" * 50_000 + "{% endfor %}{% endset %}",
    "a list doubled": "{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "a list multiplied": "{{ ([1] * 10000000000)|length }}",
    "nested lists compared": (
        "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}"
        "{{ n.a == n.b }}"
    ),
    "nested dicts": "{% set n = namespace(a={}) %}{% for i in range(60) %}{% set n.a = {'x': n.a, 'y': n.a} %}{% endfor %}{{ n.a }}",
    "nested dict calls": "{% set n = namespace(a={}) %}{% for i in range(60) %}{% set n.a = dict(x=n.a, y=n.a) %}{% endfor %}{{ n.a }}",
    "nested namespaces printed": (
        "{% set n = namespace(a=namespace(x=1)) %}{% for i in range(60) %}{% set n.a = namespace(x=n.a, y=n.a) %}{% endfor %}{{ n.a }}"
    ),
    "a namespace in itself": "{% set n = namespace() %}{% set n.a = [n, n] %}{{ n }}",
    "a huge power": "{{ 9 ** 9 ** 9 }}",
    "a huge product": "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "a wide filter": "{{ 'a'|indent(10000000000, true) }}",
    "a wide rounding": "{{ 1.5|round(1000000000, 'ceil') }}",
    "a filter that widens": "{{ 'a'|center(10000000000) }}",
    "a method that widens": "{{ 'a'.ljust(10000000000) }}",
    "a zero-filling method": "{{ 'a'.zfill(10000000000) }}",
    "a wide format": "{{ '{:>9999999999}'.format(1) }}",
    "a wide format by its argument": "{{ '{:>{w}}'.format(1, w=9999999999) }}",
    "a wide format filter": "{{ '%9999999999d'|format(1) }}",
    "a wide percent format": "{{ '%*d' % (9999999999, 1) }}",
    "a format that repeats": "{{ ('{0}' * 100000).format('x' * 100000) }}",
    "a replacement that multiplies": "{{ ('x' * 100000).replace('x', 'y' * 100000) }}",
    "a replacement of nothing": "{{ ('x' * 100000).replace('', 'y' * 100000) }}",
    "a replace filter that multiplies": "{{ ('x' * 100000)|replace('x', 'y' * 100000) }}",
    "a join that multiplies": "{{ ('x' * 100000).join(range(99999)|map('string')) }}",
    "a join filter that multiplies": "{{ range(99999)|join('x' * 100000) }}",
    "a join of one text many times": "{% set s = 'x' * 1000000 %}{{ ([s] * 100000)|join }}",
    "a deep json": "{% set n = namespace(a=[]) %}{% for i in range(99999) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a|tojson }}",
    "json of nested lists": "{% set n = namespace(a=[]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a|tojson }}",
    "json with a wide indent": "{{ [1]|tojson(indent=1000000000) }}",
    "json parsed from deep brackets": "{{ ('[' * 100000)|from_json }}",
    "a list of a huge range": "{{ range(10000000000)|list }}",
    "filler text": "{{ lipsum(n=1000000000) }}",
}


class TestHostileTemplates:
    @pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
    def test_one_that_never_ends_is_ended(self, source: str) -> None:
        with pytest.raises(TemplateLimitError):
            render(source, max_steps=5_000)

    @pytest.mark.parametrize("source", ENORMOUS.values(), ids=ENORMOUS)
    def test_one_that_wants_gigabytes_does_not_get_them(self, source: str) -> None:
        with pytest.raises(TemplateError):
            render(source)

    def test_constants_are_not_computed_while_compiling(self) -> None:
        Sandbox().compile_template("{{ 'a'|center(10000000000) if false }}{% if 'a' * 10000000000 %}{% endif %}{{ 9 ** 9 ** 9 }}")

    def test_processor_time_ends_what_the_steps_do_not(self) -> None:
        with pytest.raises(TemplateLimitError, match="terminate"):
            Meter(max_steps=10, max_seconds=-1).step()

    @pytest.mark.parametrize(
        "source",
        [
            "{{ ''.__class__.__mro__ }}",
            "{{ messages.__class__ }}",
            "{{ (1).to_bytes(10000000000, 'big') }}",
            "{{ cycler.__init__.__globals__ }}",
            "{{ namespace.__init__.__globals__ }}",
            "{{ raise_exception.__globals__ }}",
            "{{ self.__init__.__globals__ }}",
            "{{ '{0.__class__}'.format(1) }}",
            "{% include '/etc/passwd' %}",
            "{% import 'os' as os %}",
            "{{ strftime_now.__globals__ }}",
            "{{ messages.append(1) }}",
            "{{ messages[0].update(role='system') }}",
            "{{ ''|attr('__class__') }}",
            "{{ ['']|map(attribute='__class__')|list }}",
        ],
    )
    def test_nothing_of_python_can_be_reached(self, source: str) -> None:
        with contextlib.suppress(TemplateError):
            assert render(source) in ("", "[]", "[Undefined]")

    @pytest.mark.parametrize("source", ["{{", "{% for %}", "{{ " + "(" * 5000, "{% if x %}" * 3000, "{{ 1" + "0" * 5000 + " }}"])
    def test_broken_source_is_an_error_in_words(self, source: str) -> None:
        with pytest.raises(TemplateError):
            render(source)

    def test_far_too_long_a_source_is_not_read(self) -> None:
        with pytest.raises(TemplateLimitError, match=r"98,305 characters"):
            Sandbox().compile_template("x" * (MAX_SOURCE + 1))


class TestWhatRealTemplatesUse:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("{% if true %}\n  a\n{% endif %}\nb", "  a\nb"),
            ("{% for m in messages %}{{ loop.index0 }}{{ m['role'][0] }}{{ m.content }}{% endfor %}", "0uHello1aHi"),
            ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content }}{% break %}{% endfor %}", "Hi"),
            ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "Hello!"),
            ("{{ {'b': 1, 'a': 'é<'}|tojson }}", '{"b": 1, "a": "é<"}'),
            ("{{ [1, 2]|tojson(indent=2) }}", "[\n  1,\n  2\n]"),
            ("{{ ('{\"a\": 1}'|from_json).a }}", "1"),
            ("{{ strftime_now('%d %b %Y') }}", "01 Mar 2026"),
            ("{{ messages|map(attribute='content')|join(', ') }}", "Hello, Hi"),
            ("{{ messages|selectattr('role', 'equalto', 'user')|list|length }}", "1"),
            ("{{ (messages|last)['content'] }}{{ messages[-1].role }}{{ messages[1:]|length }}", "Hiassistant1"),
            ("{{ messages[::-1][0].content }}", "Hi"),
            ("{{ 'a</think>b'.split('</think>')[-1].lstrip('\\n') }}", "b"),
            ("{{ ' x '|trim }}{{ ' y '.strip() }}{{ 'Z'|lower }}{{ 'q'.upper() }}", "xyzQ"),
            ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
            ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') + m('b') }}", "<a><b>"),
            ("{% set c %}a{{ 1 }}{% endset %}{{ c }}{{ c|length }}", "a12"),
            ("{{ 'a' ~ 1 ~ none }}{{ 'x' * 3 }}{{ 7 // 2 }}{{ 7 % 2 }}{{ [1] + [2] }}", "a1Nonexxx31[1, 2]"),
            ("{{ '%s-%d' % ('a', 1) }}{{ '{} {}'.format('b', 2) }}{{ '%s'|format('c') }}", "a-1b 2c"),
            ("{{ 'a\nb'|indent(2) }}{{ 'abc'|replace('b', '') }}{{ [3, 1]|sum }}", "a\n  bac4"),
            ("{{ missing is defined }}{{ missing|default('d') }}{{ tools is none }}{{ messages[0].get('x', 'y') }}", "FalsedFalsey"),
            ("{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}", "role=user;content=Hello;"),
            ("{{ messages[0].content is string and messages is iterable and messages[0] is mapping }}", "True"),
            ("{{ 'user' in ['user', 'tool'] and not ('x' in 'abc') and 1 < 2 <= 2 }}", "True"),
            ("{{ 'a'|safe }}{{ '<'|escape }}{{ [2, 1]|sort|first }}{{ ['a', 'a']|unique|list }}", "a&lt;1['a']"),
            ("{{ 'yes' if messages and messages|length > 1 else 'no' }}", "yes"),
            ("{%- for m in messages -%} {{- m.role -}} {%- endfor -%}", "userassistant"),
        ],
    )
    def test_is_there_and_does_what_it_does_elsewhere(self, source: str, expected: str) -> None:
        assert render(source) == expected

    def test_raise_exception_carries_its_words(self) -> None:
        with pytest.raises(TemplateError, match="System role not supported"):
            render("{{ raise_exception('System role not supported') }}")

    def test_a_long_conversation_is_no_attack(self) -> None:
        messages = [{"role": "user", "content": "word " * 200}] * 2000
        source = "{% for m in messages %}{% if loop.index0 < messages|length %}<{{ m.role }}>{{ m.content|trim }}\n{% endif %}{% endfor %}"
        assert len(render(source, messages=messages)) > 2_000_000

    def test_a_message_of_megabytes_is_no_attack(self) -> None:
        message = "x\n" * 1_000_000
        assert render("{{ m|trim|replace('x', '__') }}", m=message).count("_") == 2_000_000
