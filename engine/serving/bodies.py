"""Bodies of requests: parsing and validation that names every wrong field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import msgspec

from engine.messages import Constraint, Prompt
from engine.presets.preset import SAMPLING, TYPES, Preset, Sampling
from engine.serving.answers import Question
from engine.serving.forms import of_format, of_grammar, of_schema
from engine.serving.refusal import Refusal
from engine.serving.served import Served
from engine.serving.tools import Tools, form_of
from engine.text import one_line

Body = TypeVar("Body", bound=msgspec.Struct)

MOST_NAMED: Final = 20
"""Most wrong fields that are named."""
MOST_STOPS: Final = 64
LONGEST_STOP: Final = 1_000
"""Characters of the longest stop string: each token is compared with every prefix of every stop string."""
MOST_LOGPROBS: Final = 100
MOST_BIASES: Final = 1_024
LARGEST_BIAS: Final = 100_000.0
_PLACE: Final = re.compile(r" - at `\$([^`]*)`$")

if TYPE_CHECKING:
    _Settings = msgspec.Struct
else:  # a field for each sampling setting, under the name it has in every API; UNSET keeps the preset's
    _Settings = msgspec.defstruct(
        "_Settings",
        [(name, TYPES[f"{SAMPLING}.{name}"] | None | msgspec.UnsetType, msgspec.UNSET) for name in Sampling.__struct_fields__],
        kw_only=True,
    )


class Generation(_Settings, kw_only=True):
    """Fields of requests for an answer, with the same meaning in every API."""

    limits: ClassVar[tuple[str, ...]] = ("max_tokens", "n_predict")
    """Fields that limit the answer's length; the first one set counts."""
    stop_field: ClassVar[str] = "stop"

    model: str = ""
    stream: bool = False
    stop: str | list[str] | None = None
    logit_bias: dict[str, float | bool] | list[tuple[int | str, float | bool]] | None = None
    max_tokens: int | None = None
    n_predict: int | None = None
    response_format: dict[str, Any] | None = None
    json_schema: dict[str, Any] | bool | None = None
    grammar: str = ""
    timings_per_token: bool = False
    return_progress: bool = False
    verbose: bool | None = None


_OTHERWISE: Final[Mapping[str, Mapping[float, float | None]]] = {
    "seed": {-1: None, 4_294_967_295: None},
    "top_p": {0: 1e-9},
    "typical_p": {0: 1e-9},
    "top_k": {-1: 0},
    "repeat_last_n": {-1: 1_000_000},
}
"""Values of settings that presets write differently; None draws a seed."""

_HARMLESS: Final[Mapping[str, tuple[Any, ...]]] = {
    "tools": ([],),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "best_of": (1,),
    "tool_choice": ("none", "auto"),
    "format": ("",),
    "images": ([],),
    "suffix": ("",),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "dry_sequence_breakers": (["\n", ":", '"', "*"],),
    "samplers": ([],),
    "post_sampling_probs": (False,),
    "t_max_predict_ms": (0,),
}
"""Fields that would change the answer and are not supported, with the values, beside null, that change nothing."""


def decoded(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises Refusal."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        reason = one_line(str(error)) if not isinstance(error, RecursionError) else "it is nested too deeply"
        raise Refusal(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {reason}") from error
    if not isinstance(body, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, "The body is not a JSON object")
    return body


def read(kind: type[Body], raw: bytes) -> Body:
    """Return a parsed body; ignore unknown fields. Raises Refusal with every wrong field."""
    body = decoded(raw)
    wrong: list[str] = []
    values: dict[str, Any] = {}
    for field in _fields(kind):
        value = body.get(field.encode_name)
        if value is None:
            if field.required:
                wrong.append(f"{field.encode_name} is missing")
            continue
        if field.name in _OTHERWISE and isinstance(value, int | float):
            value = _OTHERWISE[field.name].get(value, value)
        try:
            values[field.name] = msgspec.convert(value, field.type)
        except (msgspec.ValidationError, RecursionError) as error:
            wrong.append(_named(field.encode_name, str(error) or "it is nested too deeply"))
    wrong += [
        f"{name} = {one_line(str(body[name]))[:80]} is not supported"
        for name, harmless in _HARMLESS.items()
        if body.get(name) is not None and body[name] not in harmless and not any(field.encode_name == name for field in _fields(kind))
    ]
    if wrong:
        raise Refusal(HTTPStatus.BAD_REQUEST, "; ".join(wrong[:MOST_NAMED]))
    return kind(**values)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def _named(field: str, reason: str) -> str:
    place = _PLACE.search(reason)
    return f"{field}{place[1] if place else ''}: {reason[: place.start()] if place else reason}"


async def question_of(
    body: Generation,
    served: Served,
    *prompts: Prompt,
    n: int = 1,
    plain: bool = False,
    logprobs: int | None = None,
    prompt_logprobs: bool = False,
    constraint: Constraint | None = None,
    tools: Tools | None = None,
) -> Question:
    """Return the question that a request puts to the engine. Raises Refusal."""
    if len(prompts) > MOST_STOPS:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"prompt has more than {MOST_STOPS} prompts")
    if not 1 <= n <= MOST_STOPS:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"n can't be {n}: it may be 1 to {MOST_STOPS}")
    sampling, limit = await _sampling(body, served), _limit(body, served.preset)
    if logprobs is not None and not 0 <= logprobs <= MOST_LOGPROBS:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{logprobs} most likely tokens can't be reported: it may be 0 to {MOST_LOGPROBS}")
    scored = prompt_logprobs and logprobs is not None
    if scored and not served.backend.capabilities.logprobs:
        raise Refusal(HTTPStatus.BAD_REQUEST, "echo with logprobs is not supported by this engine")
    form = constraint or _form(body)
    question = Question(prompts, sampling, limit, _stops(body), n, plain, body.return_progress, logprobs, scored, form)
    if tools is None:
        return question
    if form is not None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "tools and a form of the answer exclude each other")
    style = await served.consult(lambda model, _n_ctx: model.prompts.chat_format.tool_style)
    return replace(
        question,
        constraint=await form_of(tools, style, served),
        tool_parser=partial(tools.parser, style),
        one_call=not tools.parallel,
    )


def _form(body: Generation) -> Constraint | None:
    """Return the format required of the answer. Raises Refusal."""
    forms = [of_format(body.response_format, "response_format")]
    if body.json_schema is not None:
        forms.append(of_schema(body.json_schema, "json_schema"))
    if body.grammar:
        forms.append(of_grammar(body.grammar))
    asked = [form for form in forms if form is not None]
    if len(asked) > 1:
        raise Refusal(HTTPStatus.BAD_REQUEST, "response_format, json_schema and grammar exclude each other")
    return asked[0] if asked else None


async def _sampling(body: Generation, served: Served) -> Sampling:
    """Return the sampling settings of a request, which override the preset's."""
    names = (name for name in Sampling.__struct_fields__ if name != "logit_bias")
    changed = {name: value for name in names if (value := getattr(body, name)) is not msgspec.UNSET}
    if body.logit_bias:
        changed["logit_bias"] = await _biases(body.logit_bias, served)
    return msgspec.structs.replace(served.preset.sampling, **changed)


async def _biases(asked: dict[str, float | bool] | list[tuple[int | str, float | bool]], served: Served) -> str:
    """Return the biases of tokens, or of all tokens of texts, in a preset's notation; false means never. Raises Refusal."""
    pairs: Iterable[tuple[int | str, float | bool]] = asked.items() if isinstance(asked, dict) else asked
    written: dict[int, str] = {}
    for key, bias in pairs:
        if isinstance(bias, float | int) and abs(bias) > LARGEST_BIAS:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"logit_bias has a bias beyond {LARGEST_BIAS:,.0f}")
        number = int(key) if isinstance(key, int) or (key.isdecimal() and len(key) < 10) else None
        tokens = (number,) if number is not None else await served.tokenize(str(key), add_special=False)
        written |= dict.fromkeys(tokens, "-inf" if bias is False else f"{bias:+.6f}")
        if len(written) > MOST_BIASES:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"logit_bias has more than {MOST_BIASES:,} tokens")
    await served.known(tuple(written), "logit_bias")
    return " ".join(f"{token}{bias}" for token, bias in written.items())


def _stops(body: Generation) -> tuple[str, ...]:
    """Return the stop strings of a request. Raises Refusal for an empty or very long one."""
    name = body.stop_field
    stop: str | list[str] | None = getattr(body, name)
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > MOST_STOPS or not all(stops):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} has {'an empty string' if not all(stops) else f'more than {MOST_STOPS} strings'}")
    if max(map(len, stops), default=0) > LONGEST_STOP:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} has a string of more than {LONGEST_STOP:,} characters")
    return stops


def _limit(body: Generation, preset: Preset) -> int | None:
    """Return the limit of the answer's length; -1 and -2 mean none. Raises Refusal for another number below 1."""
    name = next((name for name in body.limits if getattr(body, name) is not None), None)
    if name is None:
        return preset.max_tokens
    most: int = getattr(body, name)
    if most < -2 or most == 0:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} is less than 1")
    return most if most > 0 else None
