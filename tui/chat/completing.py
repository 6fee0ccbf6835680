"""Completing commands in the prompt: names, settings and their values, presets, quants, models, themes, paths."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from engine.attachments.attach import mentioned
from engine.errors import UsageError
from engine.host.topology import read_topology
from engine.paths import expanded
from engine.presets.preset import SAMPLING, SETTINGS, value_of
from engine.presets.settings import allowed, choices, key_named, shown
from engine.prompts.library import load
from tui.actions.action import Action
from tui.actions.registry import BY_SLASH
from tui.actions.slash import commands
from tui.chat.context import ChatContext
from tui.prompt.suggestions import Suggestion, Suggestions

MOST_PATHS = 200


class CompletingController:
    """Lists and inserts completions of commands."""

    def __init__(self, context: ChatContext, suggestions: Suggestions) -> None:
        self._context = context
        self._suggestions = suggestions
        self._quick: Mapping[str, Callable[[str], Iterable[Suggestion]]] = {
            "change_setting": self._settings,
            "theme": self._themes,
            "use_threads": self._threads,
            "export": self._formats,
        }
        """Cheap completions, listed while the user types."""
        self._slow: Mapping[str, Callable[[], Awaitable[Iterable[Suggestion]]]] = {
            "presets": self._presets,
            "use_quant": self._quants,
            "models": self._models,
            "prompt_library": self._prompts,
            "compare": self._sides,
        }

    def suggest(self) -> None:
        """Show the completions of the typed text."""
        text = self._context.prompt.text
        if (at := self._context.prompt.typed_mention) is not None:
            self._context.run_worker(self._suggest_files(at), group="complete", exclusive=True)
            return
        name, space, rest = text.partition(" ")
        action = self._action(name)
        if "\n" in text or not text.startswith("/") or text.startswith("//"):
            self._suggestions.show(())
        elif not space:
            self._suggestions.show(_commands(text))
        elif action is not None and action.id in self._quick:
            self._suggestions.show(_fitting(self._quick[action.id](rest), rest))
        else:
            self._suggestions.show(())

    async def _suggest_files(self, at: int) -> None:
        text = self._context.prompt.text
        found = await asyncio.to_thread(_files, text[at:])
        if self._context.prompt.text == text:
            self._suggestions.show(found)

    async def complete(self) -> None:
        """Complete the typed word as far as it is unambiguous, or with the selected row of the list."""
        prompt, before = self._context.prompt, self._context.prompt.text
        chosen = self._suggestions.selected if self._suggestions.moved else None
        found = [chosen] if chosen is not None else await self._candidates(before)
        if not found or prompt.text != before:
            return
        at = self._context.prompt.typed_mention
        head, typed = _last_word(before) if at is None else (before[:at], before[at:])
        common = os.path.commonprefix([row.text.lower() for row in found])  # noqa: RUF071 - texts, of which few are paths
        if len(found) == 1:
            whole = found[0].text
            done = whole if whole.endswith(os.sep) else f"{whole} "
            prompt.put(head + done)
        elif len(common) > len(typed):
            prompt.put(head + found[0].text[: len(common)])
        if len(found) > 1:
            self._suggestions.show(found)

    async def _candidates(self, text: str) -> list[Suggestion]:
        if (at := self._context.prompt.typed_mention) is not None:
            return await asyncio.to_thread(_files, text[at:])
        name, space, rest = text.partition(" ")
        if not space:
            return _commands(text)
        action = self._action(name)
        if action is None:
            return []
        if action.id in self._quick:
            return _fitting(self._quick[action.id](rest), rest)
        found = _fitting(await self._slow[action.id](), rest) if action.id in self._slow else []
        if action.id in {"read_file", "attach_file", "models"}:
            found += await asyncio.to_thread(_paths, rest)
        return found

    def _action(self, name: str) -> Action | None:
        return BY_SLASH.get(name.removeprefix("/").lower())

    # Arguments of commands

    def _settings(self, rest: str) -> Iterable[Suggestion]:
        name, space, _ = rest.partition(" ")
        session = self._context.session
        if space:
            try:
                key = key_named(name)
            except UsageError:
                return []
            return [Suggestion(word, word) for word in choices(key)]
        return [
            Suggestion(short, short, f"{shown(value_of(session.preset, key))}  ({allowed(key)}; {setting.cost})" if session else "")
            for key, setting in SETTINGS.items()
            if setting.cost is not None
            for short in (key.removeprefix(f"{SAMPLING}."),)
        ]

    def _themes(self, _: str) -> Iterable[Suggestion]:
        return [Suggestion(name, name, title) for name, title in self._context.program.themes.titles.items()]

    def _threads(self, _: str) -> Iterable[Suggestion]:
        most = read_topology().most_threads
        return [Suggestion("auto", "auto", "xchat finds the best"), *(Suggestion(str(n), str(n)) for n in range(1, most + 1))]

    def _formats(self, _: str) -> Iterable[Suggestion]:
        from tui.library.export import FORMATS

        return [Suggestion(str(form), str(form)) for form in FORMATS]

    async def _presets(self) -> Iterable[Suggestion]:
        offers, _ = await self._context.live().switching.offers()
        return [Suggestion(offer.preset.name, offer.preset.name, offer.problem or offer.preset.description) for offer in offers]

    async def _prompts(self) -> Iterable[Suggestion]:
        found = await asyncio.to_thread(load)
        return [Suggestion(prompt.name, prompt.name, prompt.about) for prompt in found.prompts]

    async def _quants(self) -> Iterable[Suggestion]:
        session = self._context.live()
        if session.engine is None:
            return []
        return [Suggestion(quant, quant) for quant in await session.switching.quants()]

    async def _sides(self) -> Iterable[Suggestion]:
        return [*await self._presets(), *await self._quants()]

    async def _models(self) -> Iterable[Suggestion]:
        known = await asyncio.to_thread(self._context.program.options.known_models)
        return [Suggestion(str(model.ref), model.name, model.quant) for model in known if model.ref is not None]


def _commands(text: str) -> list[Suggestion]:
    return [Suggestion(f"/{name}", usage, sentence) for name, usage, sentence in commands(text)]


def _last_word(text: str) -> tuple[str, str]:
    """Split the text into the part before the typed word, and the word; a path or a name may have blanks."""
    name, space, rest = text.partition(" ")
    if not space:
        return "", text
    action = BY_SLASH.get(name.removeprefix("/").lower())
    if action is not None and action.id in {"change_setting", "compare"}:
        head, blank, word = rest.rpartition(" ")
        return f"{name} {head}{blank}", word
    return f"{name} ", rest


def _fitting(found: Iterable[Suggestion], rest: str) -> list[Suggestion]:
    typed = rest.rpartition(" ")[2].lower()
    begins = [row for row in found if row.text.lower().startswith(typed)]
    return begins if not (len(begins) == 1 and begins[0].text.lower() == typed) else []


def _files(typed: str) -> list[Suggestion]:
    """List files and folders after `@`; those with blanks in quotes, which stay open for a folder."""
    found = []
    for row in _paths(typed.removeprefix("@").removeprefix('"')):
        whole = mentioned(row.text)
        found.append(Suggestion(whole.removesuffix('"') if whole.endswith(f'{os.sep}"') else whole, whole))
    return [] if len(found) == 1 and found[0].text == typed else found


def _paths(typed: str) -> list[Suggestion]:
    """List files and folders with this prefix; hidden ones only when the dot is typed."""
    folder, _, start = typed.rpartition(os.sep)
    base = expanded(folder or (os.sep if typed.startswith(os.sep) else "."))
    try:
        entries = sorted(base.iterdir())
    except OSError:
        return []
    head = f"{folder}{os.sep}" if os.sep in typed else ""
    fitting = (path for path in entries if path.name.startswith(start) and (start.startswith(".") or not path.name.startswith(".")))
    return [_path(head, path) for path, _ in zip(fitting, range(MOST_PATHS), strict=False)]


def _path(head: str, path: Path) -> Suggestion:
    name = f"{head}{path.name}{os.sep if path.is_dir() else ''}"
    return Suggestion(name, name)
