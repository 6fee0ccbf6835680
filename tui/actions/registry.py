"""The one registry of actions: keys, footer, help, palette, slash commands and the README's table are all made from it.

Keys are chosen to survive legacy terminals, tmux and screen: no ctrl+digit, alt+digit or ctrl+enter as the only way, nothing on
tmux's ctrl+b or screen's ctrl+a, nothing on flow control's ctrl+s. Importing this file imports no Textual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tui.actions.action import Action, Group, Scope, display_key
from tui.actions.views import VIEWS

if TYPE_CHECKING:
    from engine.guide.respelling import ActionNames

__all__ = ["ACTIONS", "BY_ID", "BY_SLASH", "Action", "Group", "Scope", "display_key"]

ACTIONS: tuple[Action, ...] = (
    Action("send", ("enter",), "Send", "Send the message", Group.TALK, Scope.PROMPT, fixed=True),
    Action("newline", ("ctrl+j", "shift+enter"), "New line", "Start a new line in the message", Group.TALK, Scope.PROMPT),
    Action(
        "stop",
        ("escape", "ctrl+c"),
        "Stop",
        "Stop the answer, also while the prompt is read",
        Group.TALK,
        slash=("stop",),
        footer=True,
        fixed=True,
    ),
    Action(
        "regenerate",
        ("ctrl+r",),
        "Regenerate",
        "Answer the last message again; the old answer is kept beside it",
        Group.TALK,
        slash=("regen", "retry"),
        footer=True,
    ),
    Action(
        "edit_message",
        ("alt+e",),
        "Edit",
        "Edit the last message, or the selected one, and send it as a new branch",
        Group.TALK,
        slash=("edit", "undo"),
    ),
    Action(
        "continue_answer", ("alt+c",), "Continue", "Let the model go on with an answer that was cut off", Group.TALK, slash=("continue",)
    ),
    Action(
        "system_prompt",
        (),
        "System prompt",
        "Show the system prompt",
        Group.TALK,
        slash=("system",),
        argument="TEXT",
        with_argument="Set the system prompt of the next messages; `none` removes it",
    ),
    Action(
        "read_file",
        (),
        "Read a file",
        "Put the text of a file into the prompt",
        Group.TALK,
        slash=("read",),
        argument="FILE",
        needs_argument=True,
    ),
    Action(
        "history_back", ("up",), "Older message", "Bring back an older message, from the first line of the prompt", Group.TALK, Scope.PROMPT
    ),
    Action(
        "history_forward",
        ("down",),
        "Newer message",
        "Go back to a newer message, from the last line of the prompt",
        Group.TALK,
        Scope.PROMPT,
    ),
    Action("select_previous", ("ctrl+up",), "Message up", "Select the message above", Group.READ),
    Action("select_next", ("ctrl+down",), "Message down", "Select the message below", Group.READ),
    Action("previous_sibling", ("left",), "Older branch", "Show the previous branch of the selected message", Group.READ, Scope.TRANSCRIPT),
    Action("next_sibling", ("right",), "Newer branch", "Show the next branch of the selected message", Group.READ, Scope.TRANSCRIPT),
    Action("page_up", ("pageup",), "Page up", "Scroll the conversation up", Group.READ),
    Action("page_down", ("pagedown",), "Page down", "Scroll the conversation down", Group.READ),
    Action("to_start", ("ctrl+home",), "Start", "Jump to the start of the conversation", Group.READ),
    Action("to_end", ("ctrl+end",), "End", "Jump to the end and follow the answer again", Group.READ),
    Action("toggle_thinking", ("ctrl+t",), "Thinking", "Fold or unfold thinking", Group.READ, slash=("thinking",)),
    Action("copy_message", ("ctrl+y",), "Copy", "Copy the last answer, or the selected message", Group.READ, slash=("copy",), footer=True),
    Action("copy_code", ("alt+y",), "Copy code", "Copy the last code block of the answer", Group.READ, slash=("copy-code",)),
    Action(
        "show_prompt",
        ("alt+r",),
        "Raw prompt",
        "Show the last prompt as the model got it, after the template",
        Group.READ,
        slash=("raw", "context"),
    ),
    Action("new_session", ("ctrl+n",), "New", "Start a new session", Group.SESSIONS, slash=("new", "clear"), footer=True),
    Action(
        "sessions",
        ("f2", "ctrl+o"),
        "Sessions",
        "Find, search and resume sessions",
        Group.SESSIONS,
        slash=("sessions", "resume"),
        footer=True,
    ),
    Action("rename_session", ("alt+n",), "Rename", "Give the chosen session another title", Group.SESSIONS, Scope.LIST),
    Action("delete_session", ("alt+d",), "Delete", "Delete the chosen session for good", Group.SESSIONS, Scope.LIST),
    Action("pin_session", ("alt+i",), "Pin", "Keep the chosen session on top of the list, or no longer", Group.SESSIONS, Scope.LIST),
    Action("branches", ("alt+g",), "Branches", "Show all branches of the chosen session", Group.SESSIONS, Scope.LIST),
    Action("filter_model", ("alt+o",), "Model", "List sessions with the next model only", Group.SESSIONS, Scope.LIST),
    Action("filter_quant", ("alt+q",), "Quant", "List sessions with the next quant only", Group.SESSIONS, Scope.LIST),
    Action("filter_preset", ("alt+u",), "Preset", "List sessions with the next preset only", Group.SESSIONS, Scope.LIST),
    Action("filter_date", ("alt+w",), "When", "List sessions of another span of time only", Group.SESSIONS, Scope.LIST),
    Action("clear_filters", ("alt+h",), "All", "List sessions of all models, quants, presets and dates again", Group.SESSIONS, Scope.LIST),
    Action(
        "export",
        ("alt+x",),
        "Export",
        "Write the measurements of this session, or of the chosen one, to a file",
        Group.SESSIONS,
        slash=("export",),
        argument="FORMAT [FILE]",
        with_argument="Write the measurements of this session: csv, json, jsonl, md, html or llama-bench",
    ),
    Action(
        "title_session",
        (),
        "Title",
        "Give this session another title",
        Group.SESSIONS,
        slash=("title",),
        argument="TEXT",
        needs_argument=True,
    ),
    Action(
        "models",
        ("f3", "ctrl+l"),
        "Models",
        "Pick a model or type a path",
        Group.TUNE,
        slash=("model", "load"),
        argument="PATH",
        with_argument="Load this GGUF file",
        footer=True,
    ),
    Action(
        "bigger_batch",
        ("f12", "alt+b"),
        "Bigger batch",
        "Send more tokens to the screen at a time (stream_batch)",
        Group.TUNE,
        slash=("bigger",),
    ),
    Action(
        "smaller_batch",
        ("alt+s",),
        "Smaller batch",
        "Send fewer tokens to the screen at a time (stream_batch)",
        Group.TUNE,
        slash=("smaller",),
    ),
    Action(
        "auto_batch", ("alt+a",), "Auto batch", "Let xchat choose stream_batch from what painting costs now", Group.TUNE, slash=("auto",)
    ),
    Action(
        "presets",
        ("f4",),
        "Presets",
        "Pick a preset, with what it would change and cost",
        Group.TUNE,
        slash=("preset", "presets"),
        argument="NAME",
        with_argument="Use this preset",
    ),
    Action("next_preset", ("alt+j",), "Next preset", "Take the next preset of the list", Group.TUNE, slash=("next-preset",)),
    Action("previous_preset", ("alt+k",), "Last preset", "Take the previous preset of the list", Group.TUNE, slash=("previous-preset",)),
    Action(
        "previous_quant", ("f5",), "Larger quant", "Take the next larger quant of the model in use", Group.TUNE, slash=("larger-quant",)
    ),
    Action("next_quant", ("f6",), "Smaller quant", "Take the next smaller quant of the model in use", Group.TUNE, slash=("smaller-quant",)),
    Action(
        "use_quant",
        (),
        "Quant",
        "Use this quant of the model in use, such as `Q4_K_M`",
        Group.TUNE,
        slash=("quant",),
        argument="NAME",
        needs_argument=True,
    ),
    Action(
        "use_threads",
        (),
        "Threads",
        "Show how many threads compute, and why",
        Group.TUNE,
        slash=("threads",),
        argument="N|auto",
        with_argument="Decode with this many threads, or let xchat find out",
    ),
    Action(
        "change_setting",
        (),
        "Setting",
        "Change one setting of the preset, such as `temperature 0.2` or `threads 6`",
        Group.TUNE,
        slash=("set",),
        argument="KEY VALUE",
        needs_argument=True,
    ),
    Action("fewer_threads", ("f7",), "Fewer threads", "Decode with one thread fewer", Group.TUNE, slash=("fewer",)),
    Action("more_threads", ("f8",), "More threads", "Decode with one thread more", Group.TUNE, slash=("more",)),
    Action("switch_back", ("alt+z",), "Switch back", "Go back to the settings and the model before", Group.TUNE, slash=("back",)),
    Action("toggle_panel", ("ctrl+g",), "Panel", "Show or hide the instrument panel", Group.MEASURE, slash=("panel", "stats"), footer=True),
    Action("pane_up", ("up",), "Pane up", "Select the pane above", Group.MEASURE, Scope.PANEL),
    Action("pane_down", ("down",), "Pane down", "Select the pane below", Group.MEASURE, Scope.PANEL),
    Action(
        "expand_pane",
        ("enter",),
        "Expand",
        "Let the selected pane fill the panel, and put it back",
        Group.MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action(
        "open_chart",
        ("c",),
        "Chart",
        "Open the selected pane's chart large, with axes and a cursor",
        Group.MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action(
        "explain",
        ("question_mark",),
        "Explain",
        "Explain the selected pane's numbers: formula, source, and what would change them",
        Group.MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action(
        "pause_panel",
        ("space",),
        "Pause",
        "Hold the panes, or let them go on; the first row always does",
        Group.MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action(
        "panel_window", ("w",), "Window", "Look back one minute, five minutes or over the session", Group.MEASURE, Scope.PANEL, footer=True
    ),
    Action("panel_density", ("d",), "Density", "Show less or more of each pane", Group.MEASURE, Scope.PANEL, footer=True),
    Action(
        "toggle_pane",
        ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
        "Panes",
        "Show or hide a pane by its number",
        Group.MEASURE,
        Scope.PANEL,
    ),
    Action(
        "measure_host",
        ("m",),
        "Measure",
        "Measure what memory and cores of this machine can do, for the roofline; takes some seconds",
        Group.MEASURE,
        Scope.PANEL,
        footer=True,
    ),
    Action("next_arrangement", ("a",), "Arrange", "Turn to the next arrangement of panes", Group.MEASURE, Scope.PANEL, footer=True),
    Action("save_arrangement", ("s",), "Keep", "Keep the panes shown as your own arrangement", Group.MEASURE, Scope.PANEL, footer=True),
    Action("capture", ("f9",), "Profile", "Record where the time goes; once more ends it early", Group.MEASURE, slash=("profile",)),
    Action(
        "capture_mode",
        ("alt+p",),
        "Profile how",
        "Choose what is recorded and how long, and begin",
        Group.MEASURE,
        slash=("profile-mode",),
    ),
    Action("flame", ("alt+v", "alt+f"), "Flamegraph", "Look at what was recorded, and compare", Group.MEASURE, slash=("flame",)),
    Action(
        "performance",
        ("alt+m",),
        "Performance",
        "Show the turns of this session, or of the chosen one, with their charts",
        Group.MEASURE,
        slash=("performance",),
    ),
    Action("turn_charts", ("c",), "Charts", "Open the charts large, with axes and a cursor", Group.MEASURE, Scope.TURNS),
    Action("compare_session", ("o",), "Other session", "Put another session beside this one", Group.MEASURE, Scope.TURNS),
    Action("compare_settings", ("p",), "Other settings", "Put another quant or preset beside this one's", Group.MEASURE, Scope.TURNS),
    Action("native_log", ("alt+l",), "Log", "Show what the native library logged", Group.MEASURE, slash=("log",)),
    Action("palette", ("ctrl+p",), "Commands", "Find any command by its name", Group.PROGRAM, slash=("commands",), footer=True),
    Action(
        "theme",
        ("alt+t",),
        "Theme",
        "Pick a theme",
        Group.PROGRAM,
        slash=("theme",),
        argument="NAME",
        with_argument="Use this theme",
    ),
    Action("help", ("f1",), "Help", "Help for where you are, and all keys", Group.PROGRAM, slash=("help", "?"), footer=True, fixed=True),
    Action("accept", ("enter",), "Accept", "Do what the dialog asks, or take the chosen line", Group.PROGRAM, Scope.DIALOG, fixed=True),
    Action("close", ("escape",), "Close", "Leave a dialog, list or view without doing anything", Group.PROGRAM, Scope.DIALOG, fixed=True),
    Action("suspend", ("ctrl+z",), "Suspend", "Put xchat into the background; `fg` brings it back", Group.PROGRAM),
    Action(
        "quit",
        ("ctrl+q", "f10"),
        "Quit",
        "Save everything and leave",
        Group.PROGRAM,
        slash=("quit", "exit", "bye"),
        footer=True,
        fixed=True,
    ),
    *VIEWS,
)
"""Every action, in the order of the help."""

BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}
BY_SLASH: Mapping[str, Action] = {name: action for action in ACTIONS for name in action.slash}


def action_names(keys: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, ActionNames]:
    """How each action is reached, as people write it; with `keys` (of a `Keymap`) instead of the default keys."""
    from engine.guide.respelling import ActionNames

    return {action.id: ActionNames(tuple(map(display_key, keys[action.id] if keys else action.keys)), action.slash) for action in ACTIONS}
