"""The registry of actions, from which keys, footer, help, palette, slash commands and the README's table are derived.

Keys are chosen to survive legacy terminals, tmux and screen: no ctrl+digit, alt+digit or ctrl+enter as the only way, nothing on
tmux's ctrl+b or screen's ctrl+a, nothing on flow control's ctrl+s. Imports no Textual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tui.actions.action import Action, Group, Scope, display_key
from tui.actions.views import VIEWS

if TYPE_CHECKING:
    from engine.guide.respelling import ActionNames

__all__ = ["ACTIONS", "BY_ID", "BY_SLASH", "Action", "Group", "Scope", "display_key"]

_TALK, _READ, _SESSIONS, _TUNE, _MEASURE, _PROGRAM = Group.TALK, Group.READ, Group.SESSIONS, Group.TUNE, Group.MEASURE, Group.PROGRAM

ACTIONS: tuple[Action, ...] = (
    Action("send", ("enter",), "Send", "Send the message", _TALK, Scope.PROMPT, fixed=True),
    Action("newline", ("ctrl+j", "shift+enter"), "New line", "Start a new line in the message", _TALK, Scope.PROMPT),
    Action(
        "stop",
        ("escape", "ctrl+c"),
        "Stop",
        "Stop the answer, also while the prompt is read",
        _TALK,
        slash=("stop",),
        footer=True,
        fixed=True,
    ),
    Action(
        "regenerate",
        ("ctrl+r",),
        "Regenerate",
        "Answer the last message again; the old answer is kept as a branch",
        _TALK,
        slash=("regen", "retry"),
        footer=True,
    ),
    Action(
        "compare",
        ("alt+g",),
        "Compare",
        "Answer the message in the prompt, or the last one again, with several presets or quants side by side",
        _TALK,
        slash=("compare",),
        argument="A B",
        with_argument="Answer with each of 2 to 4 presets, quants, models or settings side by side, and keep one answer",
    ),
    Action(
        "answers",
        ("alt+q",),
        "Answers",
        "Make three answers side by side with the settings in use, and keep one",
        _TALK,
        slash=("answers",),
        argument="N TEXT",
        with_argument="Make 2 to 4 answers side by side with the settings in use, and keep one",
    ),
    Action(
        "edit_message",
        ("alt+e",),
        "Edit",
        "Edit the last message, or the selected one, and send it as a new branch",
        _TALK,
        slash=("edit", "undo"),
    ),
    Action("continue_answer", ("alt+c",), "Continue", "Continue an answer that was cut off", _TALK, slash=("continue",)),
    Action(
        "system_prompt",
        (),
        "System prompt",
        "Show the system prompt",
        _TALK,
        slash=("system",),
        argument="TEXT",
        with_argument="Set the system prompt of the next messages; `none` removes it",
    ),
    Action(
        "read_file",
        (),
        "Read a file",
        "Put the text of a file into the prompt",
        _TALK,
        slash=("read",),
        argument="FILE",
        needs_argument=True,
    ),
    Action(
        "attach_file",
        (),
        "Attach a file",
        "Attach a file, a folder or a pattern such as src/**/*.py to the message: `@` and its path",
        _TALK,
        slash=("attach",),
        argument="PATH",
        needs_argument=True,
    ),
    Action(
        "complete",
        ("tab",),
        "Complete",
        "Complete a command, a setting, a preset, a model, a theme or a path, also after @",
        _TALK,
        Scope.PROMPT,
    ),
    Action("history_back", ("up",), "Older message", "Bring back an older message, from the first line of the prompt", _TALK, Scope.PROMPT),
    Action(
        "history_forward", ("down",), "Newer message", "Go back to a newer message, from the last line of the prompt", _TALK, Scope.PROMPT
    ),
    Action("undo", ("ctrl+underscore", "ctrl+slash"), "Undo", "Undo the last change of the prompt", _TALK, Scope.PROMPT),
    Action("redo", ("alt+n", "ctrl+circumflex_accent"), "Redo", "Redo the change that was undone", _TALK, Scope.PROMPT),
    Action("word_left", ("alt+b", "ctrl+left"), "Word left", "Go a word to the left", _TALK, Scope.PROMPT, call="cursor_word_left"),
    Action("word_right", ("alt+f", "ctrl+right"), "Word right", "Go a word to the right", _TALK, Scope.PROMPT, call="cursor_word_right"),
    Action("delete_word", ("alt+d",), "Delete word", "Delete the word to the right", _TALK, Scope.PROMPT, call="delete_word_right"),
    Action("clear_prompt", ("ctrl+u",), "Clear", "Clear the prompt; undo brings the text back", _TALK, Scope.PROMPT),
    Action("open_editor", ("alt+w",), "Editor", "Write the message in your editor ($VISUAL or $EDITOR)", _TALK, slash=("editor",)),
    Action("search_history", ("alt+h",), "History", "Search the messages that you sent", _TALK, slash=("history",)),
    Action(
        "prompt_library",
        ("alt+u",),
        "Prompts",
        "Use a persona (system prompt) or a snippet from your library",
        _TALK,
        slash=("prompts", "persona"),
        argument="NAME",
        with_argument="Use this persona or snippet",
    ),
    Action("select_previous", ("ctrl+up",), "Message up", "Select the message above", _READ),
    Action("select_next", ("ctrl+down",), "Message down", "Select the message below", _READ),
    Action(
        "previous_sibling",
        ("left",),
        "Older branch",
        "Show the previous branch of the selected message",
        _READ,
        Scope.TRANSCRIPT,
        call="sibling(-1)",
    ),
    Action(
        "next_sibling",
        ("right",),
        "Newer branch",
        "Show the next branch of the selected message",
        _READ,
        Scope.TRANSCRIPT,
        call="sibling(1)",
    ),
    Action(
        "take_welcome",
        ("1", "2", "3", "4", "5", "6"),
        "Ask or resume",
        "Ask a question or resume a session that an empty conversation lists, by its number",
        _TALK,
        Scope.TRANSCRIPT,
    ),
    Action("page_up", ("pageup",), "Page up", "Scroll the conversation up", _READ),
    Action("page_down", ("pagedown",), "Page down", "Scroll the conversation down", _READ),
    Action("to_start", ("ctrl+home",), "Start", "Jump to the start of the conversation", _READ),
    Action("to_end", ("ctrl+end",), "End", "Jump to the end and follow the answer again", _READ),
    Action(
        "toggle_thinking", ("ctrl+t",), "Thinking", "Fold or unfold thinking, attached files and long pastes", _READ, slash=("thinking",)
    ),
    Action("copy_message", ("ctrl+y",), "Copy", "Copy the last answer, or the selected message", _READ, slash=("copy",), footer=True),
    Action("confidence", (), "Confidence", "Show how sure the model was of each token of the answer", _READ, slash=("confidence",)),
    Action(
        "copy_code",
        ("alt+y",),
        "Copy code",
        "Copy the last code block of the conversation, or of the selected message",
        _READ,
        slash=("copy-code",),
    ),
    Action(
        "show_prompt",
        ("alt+r",),
        "Raw prompt",
        "Show the last prompt as the model got it, after the template",
        _READ,
        slash=("raw", "context"),
    ),
    Action("new_session", ("ctrl+n",), "New", "Start a new session", _SESSIONS, slash=("new", "clear"), footer=True),
    Action(
        "sessions", ("f2", "ctrl+o"), "Sessions", "Find, search and resume sessions", _SESSIONS, slash=("sessions", "resume"), footer=True
    ),
    Action(
        "export",
        ("alt+x",),
        "Export",
        "Write the measurements of this session, or of the chosen one, to a file",
        _SESSIONS,
        slash=("export",),
        argument="FORMAT [FILE]",
        with_argument="Write the measurements of this session: csv, json, jsonl, md, html or llama-bench",
    ),
    Action(
        "title_session", (), "Title", "Give this session another title", _SESSIONS, slash=("title",), argument="TEXT", needs_argument=True
    ),
    Action("save_now", (), "Save now", "Write everything that is not logged yet to the database now", _SESSIONS, slash=("save",)),
    Action(
        "models",
        ("f3", "ctrl+l"),
        "Models",
        "Pick a model or type a path",
        _TUNE,
        slash=("model", "load"),
        argument="PATH",
        with_argument="Load this GGUF file",
        footer=True,
    ),
    Action("sort_models", ("alt+o",), "Sort", "Sort the models by speed, size, memory or family", _TUNE, Scope.MODELS),
    Action("bigger_batch", ("f12",), "Bigger batch", "Send more tokens to the screen at a time (stream_batch)", _TUNE, slash=("bigger",)),
    Action(
        "smaller_batch", ("alt+s",), "Smaller batch", "Send fewer tokens to the screen at a time (stream_batch)", _TUNE, slash=("smaller",)
    ),
    Action(
        "auto_batch", ("alt+a",), "Auto batch", "Let xchat choose stream_batch from the measured cost of painting", _TUNE, slash=("auto",)
    ),
    Action(
        "presets",
        ("f4",),
        "Presets",
        "Pick a preset, with what it would change and cost",
        _TUNE,
        slash=("preset", "presets"),
        argument="NAME",
        with_argument="Use this preset",
    ),
    Action("next_preset", ("alt+j",), "Next preset", "Use the next preset of the list", _TUNE, slash=("next-preset",)),
    Action("previous_preset", ("alt+k",), "Last preset", "Use the previous preset of the list", _TUNE, slash=("previous-preset",)),
    Action("previous_quant", ("f5",), "Larger quant", "Use the next larger quant of the current model", _TUNE, slash=("larger-quant",)),
    Action("next_quant", ("f6",), "Smaller quant", "Use the next smaller quant of the current model", _TUNE, slash=("smaller-quant",)),
    Action(
        "use_quant",
        (),
        "Quant",
        "Use this quant of the current model, such as `Q4_K_M`",
        _TUNE,
        slash=("quant",),
        argument="NAME",
        needs_argument=True,
    ),
    Action(
        "use_threads",
        (),
        "Threads",
        "Show how many threads compute, and why",
        _TUNE,
        slash=("threads",),
        argument="N|auto",
        with_argument="Set the number of decode threads, or `auto`",
    ),
    Action(
        "change_setting",
        ("alt+o",),
        "Settings",
        "See and change every setting, with value, range and cost",
        _TUNE,
        slash=("set", "settings"),
        argument="KEY VALUE",
        with_argument="Change one setting of the preset, such as `temperature 0.2` or `threads 6`",
    ),
    Action("fewer_threads", ("f7",), "Fewer threads", "Decode with one thread fewer", _TUNE, slash=("fewer",)),
    Action("more_threads", ("f8",), "More threads", "Decode with one thread more", _TUNE, slash=("more",)),
    Action("switch_back", ("alt+z",), "Switch back", "Go back to the settings and the model before", _TUNE, slash=("back",)),
    Action("toggle_panel", ("ctrl+g",), "Panel", "Show or hide the instrument panel", _MEASURE, slash=("panel", "stats"), footer=True),
    Action("pane_up", ("up",), "Pane up", "Select the pane above", _MEASURE, Scope.PANEL, call="step(-1)"),
    Action("pane_down", ("down",), "Pane down", "Select the pane below", _MEASURE, Scope.PANEL, call="step(1)"),
    Action(
        "expand_pane",
        ("enter",),
        "Expand",
        "Expand the selected pane to the whole panel, or restore it",
        _MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action(
        "open_chart",
        ("c",),
        "Chart",
        "Open the selected pane's chart full-screen, with axes and a cursor",
        _MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action(
        "explain",
        ("question_mark",),
        "Explain",
        "Explain the selected pane's numbers: formula, source, and what would change them",
        _MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action(
        "pause_panel", ("space",), "Pause", "Pause or resume the panes; the first row always updates", _MEASURE, Scope.PANEL, footer=True
    ),
    Action(
        "panel_window",
        ("w",),
        "Window",
        "Change the time span: one minute, five minutes, or the session",
        _MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action("panel_density", ("d",), "Density", "Show less or more of each pane", _MEASURE, Scope.PANEL, footer=True),
    Action(
        "toggle_pane",
        ("1", "2", "3", "4", "5", "6", "7", "8", "9", "0"),
        "Panes",
        "Show or hide a pane by its number",
        _MEASURE,
        Scope.PANEL,
    ),
    Action(
        "measure_host",
        ("m",),
        "Measure",
        "Measure memory bandwidth and compute of this machine for the roofline; takes some seconds",
        _MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action("next_arrangement", ("a",), "Arrange", "Use the next arrangement of panes", _MEASURE, Scope.PANEL, footer=True),
    Action("save_arrangement", ("s",), "Keep", "Save the shown panes as your own arrangement", _MEASURE, Scope.PANEL, footer=True),
    Action("capture", ("f9",), "Profile", "Record a profile; press again to end it early", _MEASURE, slash=("profile",)),
    Action(
        "capture_mode", ("alt+p",), "Profile how", "Choose mode and length of a profile, and start it", _MEASURE, slash=("profile-mode",)
    ),
    Action("flame", ("alt+v",), "Flamegraph", "View a profile as a flamegraph, and compare two", _MEASURE, slash=("flame",)),
    Action(
        "performance",
        ("alt+m",),
        "Performance",
        "Show the turns of this session, or of the chosen one, with their charts",
        _MEASURE,
        slash=("performance",),
    ),
    Action("doctor", (), "Doctor", "Find what slows the engine on this machine, and how to fix it", _MEASURE, slash=("doctor",)),
    Action(
        "race",
        (),
        "Race",
        "Race a setting against those in use, or show the running measurement",
        _MEASURE,
        slash=("race",),
        argument="A B",
        with_argument="Race settings, presets and quants on the running engine, and keep the faster one",
    ),
    Action(
        "tune",
        (),
        "Tune",
        "Search the fastest settings for chatting, and race them against those in use",
        _MEASURE,
        slash=("tune",),
        argument="USE",
        with_argument="Search the fastest settings: chat, decode, prefill or long-prompts",
    ),
    Action(
        "serve",
        (),
        "Serve",
        "Serve the loaded model over HTTP, or show the requests",
        _MEASURE,
        slash=("serve", "requests"),
        argument="PORT|off",
        with_argument="Serve the loaded model on this port of this machine; `off` ends it",
    ),
    Action("stop_measuring", ("s",), "End", "End the measurement early, with the results so far", _MEASURE, Scope.RACE),
    Action("native_log", ("alt+l",), "Log", "Show the log of the native library", _MEASURE, slash=("log",)),
    Action("notices", ("alt+i",), "Notices", "Show all notices since the start", _PROGRAM, slash=("notices",)),
    Action("palette", ("ctrl+p",), "Commands", "Find a command by its name", _PROGRAM, slash=("commands",), footer=True),
    Action("theme", ("alt+t",), "Theme", "Pick a theme", _PROGRAM, slash=("theme",), argument="NAME", with_argument="Use this theme"),
    Action("help", ("f1",), "Help", "Help for where you are, and all keys", _PROGRAM, slash=("help", "?"), footer=True, fixed=True),
    Action("accept", ("enter",), "Accept", "Confirm the dialog, or choose the selected row", _PROGRAM, Scope.DIALOG, fixed=True),
    Action("close", ("escape",), "Close", "Close a dialog, list or view", _PROGRAM, Scope.DIALOG, fixed=True),
    Action("suspend", ("ctrl+z",), "Suspend", "Suspend xchat; `fg` resumes it", _PROGRAM),
    Action("quit", ("ctrl+q", "f10"), "Quit", "Save everything and quit", _PROGRAM, slash=("quit", "exit", "bye"), footer=True, fixed=True),
    *VIEWS,
)
"""Every action, in the order of the help."""

BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}
BY_SLASH: Mapping[str, Action] = {name: action for action in ACTIONS for name in action.slash}


def action_names(keys: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, ActionNames]:
    """Keys and slash commands of each action for display; `keys` (of a `Keymap`) replaces the default keys."""
    from engine.guide.respelling import ActionNames

    return {action.id: ActionNames(tuple(map(display_key, keys[action.id] if keys else action.keys)), action.slash) for action in ACTIONS}
