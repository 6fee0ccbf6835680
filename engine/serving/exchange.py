"""Gets a request's answers from the engine and sends them in the form of one API, whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from engine.clock import now_ns
from engine.serving.answers import Answer, Answers, Growth, Question, failure_of
from engine.serving.refusal import Refusal
from engine.serving.request import EVENTS, ClientGone, Request, encode
from engine.serving.served import Served


class Face(Protocol):
    """The form of one API. Each method returns the data to send; empty sends nothing."""

    kind: bytes
    """The content type of a stream."""
    ping: bytes
    """Sent when nothing else is for long."""

    def opening(self, answers: Sequence[Answer]) -> bytes:
        """Return the beginning of a stream."""

    def grown(self, answer: Answer, growth: Growth) -> bytes:
        """Return the additions to an answer."""

    def ended(self, answer: Answer) -> bytes:
        """Return the end of an answer."""

    def closing(self, answers: Sequence[Answer]) -> bytes:
        """Return the end of a stream."""

    def failed(self, refusal: Refusal) -> bytes:
        """Return the end of a failed stream."""

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any] | list[dict[str, Any]]:
        """Return all answers at once."""


class EventFace:
    """The common part of the APIs with server-sent events."""

    kind = EVENTS
    ping = b": ping\n\n"

    def failed(self, refusal: Refusal) -> bytes:
        """Return the error."""
        return b"data: %b\n\n" % encode({"error": refusal.error})


async def exchange(request: Request, served: Served, question: Question, face: Face, *, stream: bool) -> None:
    """Answer a request. Raises Refusal when there is no answer, and ClientGone."""
    answers = served.ask(question, request.client, request.path)
    request.asked()
    gone = asyncio.create_task(_until_gone(request, served, answers))
    try:
        await (_stream if stream else _whole)(request, served, answers, face)
    finally:
        gone.cancel()
        served.close(answers)


async def _until_gone(request: Request, served: Served, answers: Answers) -> None:
    """End the answers when the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    answers.gone = True
    served.stop(answers)
    answers.wake()


async def _whole(request: Request, served: Served, answers: Answers, face: Face) -> None:
    while not answers.done:
        _, ended = await answers.more()
        _check(served, answers, ended)
    await request.answer(face.whole(answers.all))


async def _stream(request: Request, served: Served, answers: Answers, face: Face) -> None:
    while not answers.done:
        grown, ended = await answers.more()
        try:
            _check(served, answers, ended)
        except Refusal as refusal:
            if not request.started:
                raise
            await request.finish(face.failed(refusal))
            return
        parts = [face.grown(answer, growth) for answer, growth in grown.items()]
        parts += [face.ended(answer) for answer in ended]
        if not request.started and (answers.ready or answers.waited):
            await request.begin(face.kind)
            parts.insert(0, face.opening(answers.all))
        if request.started and (data := b"".join(parts) or (answers.waited and face.ping)):
            answers.touched_ns = now_ns()
            answers.waited = False
            await request.add(data)
    await request.finish(face.closing(answers.all))


def _check(served: Served, answers: Answers, ended: Sequence[Answer]) -> None:
    """Raise the error that ends the exchange, if any."""
    if answers.gone:
        raise ClientGone
    for answer in ended:
        if (refusal := failure_of(answer, closing=served.closing)) is not None:
            raise refusal
