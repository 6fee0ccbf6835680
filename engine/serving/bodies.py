"""Reads the bodies of requests: every wrong field is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec

from engine.errors import UsageError
from engine.presets.preset import SAMPLING, Preset, Sampling
from engine.presets.settings import check_value
from engine.serving.answers import Question
from engine.serving.refusal import Refusal
from engine.text import one_line

Body = TypeVar("Body", bound=msgspec.Struct)

MOST_NAMED: Final = 20
"""Wrong fields that are named."""
MOST_STOPS: Final = 64
LONGEST_STOP: Final = 1_000
"""Characters. Each token is compared with every beginning of every stop string."""
_PLACE: Final = re.compile(r" - at `\$([^`]*)`$")


class Generation(msgspec.Struct, kw_only=True):
    """The fields of requests that ask for an answer; they have the same meaning everywhere."""

    model: str = ""
    stream: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None


_SETTINGS: Final = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "seed")

_HARMLESS: Final[Mapping[str, tuple[Any, ...]]] = {
    "tools": ([],),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "best_of": (1,),
    "tool_choice": ("none", "auto"),
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "n_probs": (0,),
    "logit_bias": ({}, []),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "format": ("",),
    "images": ([],),
    "suffix": ("",),
    "echo": (False,),
    "grammar": ("",),
    "json_schema": (),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "cache_prompt": (True,),
}
"""Fields that would change the answer and are not supported, with the values that change nothing beside null."""


def decoded(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises Refusal."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        reason = one_line(str(error)) if not isinstance(error, RecursionError) else "it is nested too deeply"
        raise Refusal(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {reason}") from error
    if not isinstance(body, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, "The body is not a JSON object")
    return body


def read(kind: type[Body], raw: bytes) -> Body:
    """Read a body. Raises Refusal with every field that is wrong; unknown fields change nothing."""
    body = decoded(raw)
    wrong: list[str] = []
    values: dict[str, Any] = {}
    for field in _fields(kind):
        value = body.get(field.encode_name)
        if value is None:
            if field.required:
                wrong.append(f"{field.encode_name} is missing")
            continue
        try:
            values[field.name] = msgspec.convert(value, field.type)
        except (msgspec.ValidationError, RecursionError) as error:
            wrong.append(_named(field.encode_name, str(error) or "it is nested too deeply"))
    for name in _SETTINGS:
        if name in values:
            _check_setting(name, values, wrong)
    wrong += [
        f"{name} = {one_line(str(body[name]))[:80]} is not supported"
        for name, harmless in _HARMLESS.items()
        if body.get(name) is not None and body[name] not in harmless
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


def _check_setting(name: str, values: dict[str, Any], wrong: list[str]) -> None:
    if name == "seed" and values[name] == -1:
        del values[name]
        return
    if name == "top_p" and values[name] == 0:
        values[name] = 1e-9
    try:
        check_value(f"{SAMPLING}.{name}", values[name])
    except UsageError as error:
        wrong.append(f"{name}: {error.title.partition('.')[2]}. {error.hint}")


def sampling_of(body: Generation, preset: Preset) -> Sampling:
    """The sampling settings of a request, over those of the preset."""
    changed = {name: value for name in _SETTINGS if (value := getattr(body, name)) is not None}
    return msgspec.structs.replace(preset.sampling, **changed)


def stops_of(stop: str | list[str] | None, name: str = "stop") -> tuple[str, ...]:
    """The stop strings of a request. Raises Refusal for an empty or very long one."""
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > MOST_STOPS or not all(stops):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} has {'an empty string' if not all(stops) else f'more than {MOST_STOPS} strings'}")
    if max(map(len, stops), default=0) > LONGEST_STOP:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} has a string of more than {LONGEST_STOP:,} characters")
    return stops


def limit_of(max_tokens: int | None, preset: Preset, name: str = "max_tokens") -> int | None:
    """The longest answer; -1 is no limit. Raises Refusal for another number below 1."""
    if max_tokens is None:
        return preset.max_tokens
    if max_tokens < -1 or max_tokens == 0:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} is less than 1")
    return None if max_tokens == -1 else max_tokens


def limited(question: Question) -> Question:
    """The question, when so many answers may be asked for at once. Raises Refusal."""
    if not 1 <= question.n <= MOST_STOPS:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"n can't be {question.n}: it may be 1 to {MOST_STOPS}")
    return question
