"""Switches preset, quant, model or threads during a conversation: price before, cost after, and undo.

Hot changes apply at once. The others are resolved on a thread (a preset may name a family, a quant may have to be made) and wait for the
end of the current answer; then a load either succeeds or leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import msgspec

from engine.backend import EngineInfo
from engine.clock import NS_PER_S, now_ns
from engine.errors import UsageError, XchatError
from engine.events import Event, Notice, TurnFinished
from engine.host.topology import read_topology
from engine.model_ref import ModelRef
from engine.models.fit import TooLargeError
from engine.models.memory import AUTO_CONTEXT
from engine.presets.folder import PresetFolder, Shelf
from engine.presets.preset import Cost, Preset, cost_of_change, kv_layout
from engine.presets.price import Price, PriceHistory, price_of
from engine.presets.settings import difference, with_text, with_values
from engine.records import TurnRecord
from engine.session.kv_states import KvStates
from engine.session.model_finder import ModelFinder
from engine.session.target import Point, comparable, cost_between, describe, loaded, of_no_model, rebased
from engine.session.turns import Turns

MOST_STEPS_BACK = 20
AGAIN_NS = 5 * NS_PER_S
"""The same request within this time of the notice that it waits stops the answer instead."""
LEAST_PREFILL = 64
"""Prompt tokens below which a turn does not measure the prefill speed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A preset as the picker shows it."""

    preset: Preset
    price: Price | None
    """None when it can't be used, or when there is no model yet."""
    problem: str = ""
    """Why it can't be used."""


@dataclass(frozen=True, slots=True)
class _Request:
    step: Callable[[Point], Point]
    """Maps a point to the one asked for; runs on a thread, may raise XchatError."""
    by: str
    """Identifies the request, to recognize a repeated one."""
    force: bool = False
    undoes: bool = False


class Switching:
    """Switches settings and models. Lives on the event loop's thread."""

    def __init__(
        self,
        turns: Turns,
        states: KvStates,
        *,
        load: Callable[..., Awaitable[EngineInfo]],
        finder: ModelFinder,
        shelf: Callable[[], Shelf] | None = None,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """`load` is `Session.load`; `finder` and `shelf` (all presets of this person by default) are called on threads."""
        self._turns = turns
        self._slot = turns.slot
        self._instruments = turns.instruments
        self._emit = turns.emit
        self._states = states
        self._load_model = load
        self._finder = finder
        self._shelf = shelf or (lambda: PresetFolder().load())
        self._prices = PriceHistory()
        self._prices_read = asyncio.ensure_future(self._prices.read())
        self._clock = clock
        self._past: deque[Point] = deque(maxlen=MOST_STEPS_BACK)
        self._asked: list[_Request] = []
        self._goal: Point | None = None
        self._news = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._waits_for: tuple[str, int] | None = None
        self._refused: Point | None = None

    # Requests

    def use(self, preset: Preset) -> None:
        """Switch to these settings: hot ones now, others when the current answer has ended."""
        if self._is_hot(preset):
            self._apply_hot(preset)
        else:
            self._ask(partial(self._settings, preset), f"settings of {preset.name}")

    def change(self, values: Mapping[str, str]) -> None:
        """Change settings, given as typed text, and keep the others. Raises UsageError for an invalid value."""
        preset = with_text(self._slot.preset, values)
        if self._is_hot(preset):
            self._apply_hot(preset)
        else:
            self._ask(lambda here: self._settings(with_text(here.preset, values), here), f"settings {sorted(values.items())}")

    def _is_hot(self, preset: Preset) -> bool:
        here = self._slot.preset
        return (preset.model, preset.quant) == (here.model, here.quant) and cost_of_change(here, preset) in (None, Cost.HOT)

    def price(self, preset: Preset) -> Price | None:
        """Return the price of switching to these settings of the model in use; None before there is one."""
        here = self._here()
        return self._price(here, Point(preset, here.model)) if here.model is not None else None

    def use_named(self, name: str) -> None:
        """Switch to the preset called `name`."""
        self._ask(lambda here: self._named(self._shelf().get(name), here), f"preset {name}")

    def next_preset(self, step: int) -> None:
        """Switch to the preset `step` places further in the list, wrapping around its ends."""
        self._ask(partial(self._next_preset, step), f"presets {step:+}")

    def use_quant(self, quant: str) -> None:
        """Switch to this quant of the model in use."""
        self._ask(lambda here: _in_quant(here, quant, self._finder.quant(loaded(here), quant)), f"quant {quant}")

    def next_quant(self, step: int) -> None:
        """Switch to a smaller (+1) or larger (-1) quant of the model in use."""
        self._ask(lambda here: _in_quant(here, *self._finder.neighbour(loaded(here), step)), f"quants {step:+}")

    def use_model(self, ref: ModelRef, *, force: bool = False) -> None:
        """Load another model under the current settings."""
        self._ask(lambda here: Point(of_no_model(here.preset), ref), f"model {ref}", force=force)

    def use_threads(self, threads: int | Literal["auto"]) -> None:
        """Decode with this number of threads. Raises UsageError when there are fewer CPUs."""
        self._refuse_without_threads()
        most = read_topology().most_threads
        if threads != "auto" and not 1 <= threads <= most:
            raise UsageError(f"Can't decode with {threads} threads", f"This process may use at most {most}", "`auto` finds the best.")
        self.use(msgspec.structs.replace(self._slot.preset, threads=threads))

    def more_threads(self, step: int) -> None:
        """Change the number of decode threads by `step`; that ends `auto`.

        Raises UsageError when no model is loaded, there are no more CPUs, or no fewer threads than one.
        """
        self._refuse_without_threads()
        now = self._slot.threads_now
        if now is None:
            raise UsageError("No model is loaded", "", "Pick one.", "models")
        asked = self._slot.preset.threads
        # A count applies only from the next library call on, so use the last requested one.
        self.use_threads((now.threads if asked == "auto" else min(asked, read_topology().most_threads)) + step)

    def _refuse_without_threads(self) -> None:
        if not self._slot.capabilities.threads:
            raise UsageError("The thread count of this engine can't be set", "It runs outside this process")

    def back(self) -> None:
        """Go back to the settings and the model before the last switch. Raises UsageError when nothing was switched."""
        if not self._past:
            raise UsageError("There is no switch to undo", "No settings or model were switched")
        before = self._past.pop()
        self._ask(lambda _here: before, "back", undoes=True)

    def force(self, ref: ModelRef) -> None:
        """Load a model that was refused for its memory anyway, with the settings of that request."""
        refused = self._take_refused(ref)
        self._ask(lambda _here: refused, f"force {ref}", force=True)

    def amend(self, ref: ModelRef, changes: Mapping[str, Any]) -> None:
        """Load a model that was refused for its memory, with the changed settings of a remedy.

        Raises UsageError when the settings contradict the others.
        """
        refused = self._take_refused(ref)
        quant = changes.get("quant")
        preset = with_values(refused.preset, changes)
        self._ask(lambda _here: Point(preset, ref if quant is None else self._finder.quant(ref, quant)), f"amend {ref} {changes}")

    def _take_refused(self, ref: ModelRef) -> Point:
        refused, self._refused = self._refused, None
        return refused if refused is not None and refused.model == ref else Point(of_no_model(self._slot.preset), ref)

    async def offers(self) -> tuple[tuple[Offer, ...], tuple[UsageError, ...]]:
        """Return all presets with the price of each, and the files that are not presets."""
        await asyncio.wait([self._prices_read])
        return await asyncio.to_thread(self._offers, self._here())

    async def quants(self) -> tuple[str, ...]:
        """Return the quants of the model in use, the largest first; none before there is a model."""
        model = self._here().model
        if model is None:
            return ()
        return tuple(choice.quant for choice in await asyncio.to_thread(self._finder.quants, model))

    async def settled(self) -> None:
        """Return when no request is left."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    async def close(self) -> None:
        """Cancel the requests that are left, and save the prices."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        await self._prices_read
        await self._prices.save()

    # From the session

    def prefill_speed(self, ref: ModelRef) -> float | None:
        """Prefill speed of a model in tokens/s when it was last measured here."""
        return self._prices.prefill_speed(str(ref))

    def handle(self, event: Event) -> None:
        """Handle an event of the session: learn the prefill speed from a finished turn."""
        if isinstance(event, TurnFinished):
            self._learn_prefill(event.turn)

    # Steps: they read files, so they run on a thread; each may raise XchatError

    def _settings(self, preset: Preset, here: Point) -> Point:
        same = (preset.model, preset.quant) == (here.preset.model, here.preset.quant)
        return Point(preset, here.model) if same else self._named(preset, here)

    def _named(self, preset: Preset, here: Point) -> Point:
        return Point(preset, self._finder.find(preset, here.model))

    def _next_preset(self, step: int, here: Point) -> Point:
        presets = self._shelf().presets
        names = list(presets)
        at = names.index(here.preset.name) if here.preset.name in names else -1 if step > 0 else 0
        return self._named(presets[names[(at + step) % len(names)]], here)

    # One request after the other

    def _ask(self, step: Callable[[Point], Point], by: str, *, force: bool = False, undoes: bool = False) -> None:
        if self._turns.running and self._waits_for is not None:
            waiting, since = self._waits_for
            if waiting == by and self._clock() - since <= AGAIN_NS:
                self._turns.stop_all()
                return
        self._asked.append(_Request(step, by, force, undoes))
        self._news.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        """Resolve all requests to one goal, and switch once, when no answer is in progress."""
        await asyncio.wait([self._prices_read])
        last: _Request | None = None
        while self._asked or (self._goal is not None and last is not None):
            asked, self._asked = self._asked, []
            self._news.clear()
            try:
                goal = await asyncio.to_thread(_lead, asked, self._goal or self._here())
            except XchatError as error:
                self._emit(Notice("warning", error.title, error.detail, error.hint, error.action))
                continue
            self._goal, last = goal, asked[-1] if asked else last
            assert last is not None
            if cost_between(self._here(), goal) not in (None, Cost.HOT):
                await self._wait_for_the_end_of_the_answer(goal, last)
                if self._asked:
                    continue
            await self._go(self._goal, last)
            self._goal = last = None

    async def _wait_for_the_end_of_the_answer(self, goal: Point, last: _Request) -> None:
        """Return when no answer is in progress, or another request comes."""
        if self._turns.running:
            here = self._here()
            self._waits_for = (last.by, self._clock())
            title = f"Waiting for {self._turns.what_runs} to end: {describe(here, goal)}"
            hint = f"Repeat it to stop {self._turns.what_runs} and switch now."
            self._emit(Notice("information", title, self._price(here, goal).sentence, hint))
        while self._turns.running and not self._asked:
            idle, news = asyncio.ensure_future(self._turns.wait_idle()), asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait([idle, news], return_when=asyncio.FIRST_COMPLETED)
            finally:
                idle.cancel()
                news.cancel()
        self._waits_for = None

    async def _go(self, goal: Point, last: _Request) -> None:
        here = self._here()
        cost = cost_between(here, goal)
        if cost is None or cost is Cost.HOT:
            self._apply_hot(goal.preset, undoes=last.undoes)
        elif goal.model is None:
            self._apply_hot(goal.preset, undoes=last.undoes)  # without a model, it applies to the first one
        else:
            done = await self._load(here, goal, cost, force=last.force)
            if done != last.undoes:
                self._past.append(here if done else goal)

    async def _load(self, here: Point, goal: Point, cost: Cost, *, force: bool) -> bool:
        """Load the goal; False when everything is as it was before."""
        assert goal.model is not None
        what = describe(here, goal)
        price = self._price(here, goal)
        self._emit(Notice("information", f"Switching to {what}", price.sentence))
        began = self._clock()
        try:
            await self._load_model(goal.model, goal.preset, force=force)
        except TooLargeError:
            self._refused = goal
            return False
        except XchatError:
            return False  # ModelFailed has reported it
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return False
        seconds = (self._clock() - began) / NS_PER_S
        if self._goal is not None and self._goal.preset != goal.preset:
            self._slot.apply_hot(self._goal.preset)
        self._prices.record(cost, str(goal.model), seconds)
        self._instruments.switched(what, reads_again=bool(price.tokens), mark=f"{what}: {cost}, {seconds:.2f} s")
        again = f"; {price.tokens:,} tokens are evaluated again with the next message" if price.tokens else ""
        self._emit(Notice("information", f"Switched to {what}", f"It took {seconds:.2f} s{again}"))
        await self._prices.save()
        return True

    def _apply_hot(self, preset: Preset, *, undoes: bool = False) -> None:
        here = self._here()
        if not undoes and difference(here.preset, preset):
            self._past.append(here)
        if self._goal is not None:
            self._goal = replace(self._goal, preset=rebased(self._goal.preset, here.preset, preset))
        if (here.preset.threads, here.preset.threads_batch) != (preset.threads, preset.threads_batch):
            self._instruments.switched(describe(here, Point(preset, here.model)), reads_again=False)
        self._slot.apply_hot(preset)

    def _offers(self, here: Point) -> tuple[tuple[Offer, ...], tuple[UsageError, ...]]:
        shelf = self._shelf()
        offers = []
        for preset in shelf.presets.values():
            try:
                goal = self._named(preset, here)
                offers.append(Offer(preset, self._price(here, goal) if here.model is not None and goal.model is not None else None))
            except XchatError as error:
                offers.append(Offer(preset, None, str(error)))
        return tuple(offers), shelf.problems

    # Prices

    def _price(self, here: Point, goal: Point) -> Price:
        before, after = comparable(here, goal)
        engine = self._slot.engine
        longest = min(engine.model.n_ctx_train or AUTO_CONTEXT, AUTO_CONTEXT) if engine is not None else AUTO_CONTEXT
        window = longest if after.n_ctx == "auto" else after.n_ctx
        return price_of(
            before,
            after,
            self._prices,
            model=str(goal.model),
            context_used=self._states.held,
            carried_over=kv_layout(before) == kv_layout(after) and self._states.held < window,
        )

    def _learn_prefill(self, turn: TurnRecord) -> None:
        """Record the prefill speed of a model; from a turn that is not clean only while none is known."""
        speed = turn.timings.prompt_per_second
        if speed is None or turn.timings.prompt_n < LEAST_PREFILL:
            return
        model = str(self._here().model)
        if turn.clean or self._prices.prefill_speed(model) is None:
            self._prices.record_prefill(model, speed)

    def _here(self) -> Point:
        engine = self._slot.engine
        return Point(self._slot.preset, engine.model.ref if engine is not None else None)


def _in_quant(here: Point, quant: str, ref: ModelRef) -> Point:
    return Point(msgspec.structs.replace(here.preset, quant=quant), ref)


def _lead(requests: Sequence[_Request], start: Point) -> Point:
    for request in requests:
        start = request.step(start)
    return start
