"""Templates that once kept the interpreter busy for minutes in one call end within the limits."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from engine.chat.templating.budget import TemplateLimitError
from engine.chat.templating.sandbox import Sandbox

LONG = "{% set A = ('a'*100)*39000 %}{% set B = ('b'*100)*39000 %}"
HANGS = {
    "strip": LONG + "{{ A.strip(B ~ 'a') }}",
    "trim": LONG + "{{ A|trim(B ~ 'a') }}",
    "rfind": LONG + "{% set N = 'ab' ~ ('a'*100)*19000 %}{{ A.rfind(N) }}",
    "int": "{% set a = (('f'*100)*38000)|int(base=16) %}{% set b = (('f'*100)*19000)|int(base=16) %}{{ a % b }}",
    "map": "{{ (['x']*10000)|map(attribute=('0.'*100)*19000 ~ '0')|list }}",
    "tojson": "{{ range(4000)|list|tojson(separators=('x'*100000, ':'))|length }}",
}


@pytest.mark.parametrize("template", HANGS.values(), ids=HANGS)
def test_a_call_that_would_hang_is_refused_at_once(template: str) -> None:
    sandbox, began = Sandbox(), time.thread_time()
    compiled = sandbox.compile_template(template)
    with pytest.raises(TemplateLimitError):
        sandbox.render_metered(compiled, {"messages": []}, now=datetime.now(UTC))
    assert time.thread_time() - began < 1.0


def test_usual_searches_stay_allowed() -> None:
    template = "{{ (('word '*1000)*40).strip(' \n').split('</think>')[-1].rstrip('\n')|trim('\n')|length }}"
    assert Sandbox().render_metered(Sandbox().compile_template(template), {}, now=datetime.now(UTC)) == "199999"
