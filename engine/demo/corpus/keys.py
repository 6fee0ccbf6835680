"""Questions about keys and commands, and their answers, made from the registry's facts."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from engine.demo.corpus.facts import ActionFact, Facts
from engine.demo.corpus.grammar import expand

TASKS: Mapping[str, tuple[str, ...]] = {
    "send": ("send a message", "send my message", "submit the prompt", "send it", "post my question"),
    "newline": (
        "start a new line",
        "write several lines",
        "make a line break",
        "insert a newline",
        "write a message with more than one line",
        "get a new line without sending",
        "type a multi-line message",
    ),
    "stop": (
        "stop the answer",
        "stop you",
        "interrupt the model",
        "cancel the answer",
        "make it stop",
        "abort the generation",
        "stop generating",
        "halt the output",
        "cut it off",
        "shut you up",
        "cancel a reply",
        "stop the model from writing",
        "end the answer early",
    ),
    "regenerate": (
        "regenerate",
        "get another answer",
        "answer again",
        "retry",
        "regenerate the answer",
        "get a different answer",
        "repeat the last question",
        "try again",
        "have it answered again",
        "redo the answer",
        "ask the same thing again",
        "make a new version of the answer",
    ),
    "edit_message": (
        "edit my message",
        "change my last message",
        "fix a typo in my question",
        "edit a message i sent",
        "correct my question",
        "rewrite my last message",
        "change what i asked",
        "edit the prompt i sent",
    ),
    "continue_answer": (
        "continue the answer",
        "let it go on",
        "continue a cut off answer",
        "make it write on",
        "resume a truncated answer",
        "let the model finish its answer",
        "go on with the answer",
    ),
    "history_back": (
        "get my last message back",
        "go back in the prompt history",
        "bring back an older message",
        "recall what i typed before",
        "reuse a previous prompt",
        "go up in the input history",
    ),
    "history_forward": (
        "go forward in the prompt history",
        "get to a newer message in the history",
        "go down in the input history",
        "return to the newest prompt",
    ),
    "select_previous": (
        "select the message above",
        "move up one message",
        "select an older message",
        "mark the previous message",
        "select a message",
    ),
    "select_next": ("select the message below", "move down one message", "select the next message", "mark the following message"),
    "previous_sibling": (
        "see the previous branch",
        "show the older version of an answer",
        "go to the previous branch",
        "switch to the former branch",
    ),
    "next_sibling": (
        "see the next branch",
        "show the newer version of an answer",
        "go to the next branch",
        "switch to the following branch",
    ),
    "page_up": ("scroll up", "scroll the conversation up", "see earlier text", "go a page up"),
    "page_down": ("scroll down", "scroll the conversation down", "go a page down"),
    "to_start": ("jump to the start", "go to the beginning of the chat", "scroll to the top", "see the first message", "go to the top"),
    "to_end": ("jump to the end", "go to the bottom", "follow the answer again", "scroll to the bottom", "go to the last message"),
    "toggle_thinking": (
        "fold the thinking",
        "show the thinking",
        "hide the thinking",
        "unfold the reasoning",
        "collapse the thinking block",
        "expand the thinking",
        "toggle thinking",
    ),
    "copy_message": (
        "copy an answer",
        "copy the answer",
        "copy a message",
        "copy the last reply",
        "put the answer into the clipboard",
        "copy text",
        "copy your reply",
        "yank the answer",
    ),
    "copy_code": (
        "copy the code",
        "copy a code block",
        "copy only the code",
        "get the code into the clipboard",
        "copy the last snippet",
        "copy the last code block",
    ),
    "show_prompt": (
        "see the raw prompt",
        "see what the model really gets",
        "show the prompt after the template",
        "view the full prompt",
        "inspect the prompt",
        "check what was sent to the model",
    ),
    "new_session": (
        "start a new session",
        "start a new chat",
        "start over",
        "begin a fresh conversation",
        "clear the chat",
        "open a new conversation",
        "reset the conversation",
        "wipe the context and start again",
    ),
    "sessions": (
        "open the list of sessions",
        "find an old session",
        "see my sessions",
        "resume an old session",
        "browse old conversations",
        "list my chats",
        "search my sessions",
        "go back to an earlier chat",
    ),
    "models": (
        "pick a model",
        "choose a model",
        "open the model list",
        "select another model",
        "see the models",
        "load another gguf",
        "open the model picker",
        "switch models",
    ),
    "bigger_batch": (
        "make stream_batch bigger",
        "increase stream_batch",
        "raise the stream batch",
        "send more tokens to the screen at a time",
        "paint more tokens at once",
        "get a bigger batch",
        "paint less often",
    ),
    "smaller_batch": (
        "make stream_batch smaller",
        "decrease stream_batch",
        "lower the stream batch",
        "send fewer tokens to the screen at a time",
        "get a smaller batch",
        "paint every token",
    ),
    "auto_batch": (
        "set stream_batch to auto",
        "let xchat choose stream_batch",
        "turn on automatic stream_batch",
        "make the stream batch automatic",
        "use auto batch",
    ),
    "toggle_panel": (
        "show the panel",
        "hide the panel",
        "open the instrument panel",
        "toggle the panel",
        "close the stats",
        "see the statistics",
        "get rid of the panel",
        "open the dashboard",
    ),
    "native_log": (
        "see the log",
        "show the log",
        "read what llama.cpp logged",
        "open the native log",
        "view the log messages",
        "look at the log",
    ),
    "palette": (
        "open the command palette",
        "find a command",
        "search commands",
        "open the palette",
        "look up a command by name",
        "see all commands",
    ),
    "theme": ("change the theme", "pick a theme", "switch the theme", "choose another theme", "change the colours"),
    "help": ("get help", "open the help", "see all keys", "show the help", "see the manual", "look up the keys", "get help for where i am"),
    "suspend": (
        "suspend xchat",
        "put xchat into the background",
        "get back to my shell for a moment",
        "pause the program",
        "background xchat",
    ),
    "quit": (
        "quit",
        "leave xchat",
        "exit",
        "close xchat",
        "exit the program",
        "get out of here",
        "quit xchat",
        "leave",
        "end the program",
        "shut down xchat",
    ),
    "next_quant": ("switch to the next quant", "go to the next quant", "try the next quant of this model", "use the following quant"),
    "previous_quant": ("switch to the previous quant", "go back one quant", "use the previous quant"),
    "next_preset": ("switch to the next preset", "go to the next preset", "cycle presets", "use the next preset"),
    "previous_preset": ("switch to the previous preset", "go to the previous preset"),
    "more_threads": ("use one thread more", "add a thread", "raise the number of threads", "increase threads"),
    "fewer_threads": ("use one thread fewer", "remove a thread", "lower the number of threads", "decrease threads"),
}
"""What people want to do, by action id; actions that are not here are asked for in the words of their own sentence."""

DO_QUESTIONS = (
    "how {do|can|would|could|should} {i|I|one|you|we} $task{|?}",
    "how to $task{|?}",
    "how do i $task in xchat{|?}",
    "{which|what} key {do i press|lets me|is there|do i use|should i press|must i press} to $task{|?}",
    "what do i {press|type|do} to $task{|?}",
    "i {want|would like|need|wish} to $task",
    "is there a {key|shortcut|way|hotkey|command} to $task{|?}",
    "{key|shortcut|hotkey|button|keyboard shortcut} to $task{|?}",
    "can i $task{|?}",
    "$task",
    "$task{|?| please| how}",
    "{can|could} you {tell me|show me|explain} how to $task{|?}",
    "what is the {key|shortcut|hotkey} to $task{|?}",
    "{tell me|show me} how to $task",
    "where {can|do} i $task{|?}",
    "which {shortcut|button} {will|would} $task{|?}",
    "i don't know how to $task",
    "help me $task",
    "let me $task",
)
"""How people ask for a key."""

COMMAND_QUESTIONS = (
    "{what is|what's} the {slash |}command to $task{|?}",
    "{which|what} {slash |}command {do i use|is there|can i type} to $task{|?}",
    "{slash |}command to $task{|?}",
    "is there a slash command to $task{|?}",
    "how do i $task with a {slash |}command{|?}",
    "can i type something to $task{|?}",
)
"""How people ask for a slash command."""

KEY_QUESTIONS = (
    "what does $key do{|?}",
    "what is $key{| for}{|?}",
    "$key{|?}",
    "what happens when i press $key{|?}",
    "{tell me|explain} what $key does",
    "{press|pressing|hit} $key{|?}",
    "the $key key{|?}",
    "what's $key{| for}{|?}",
    "$key does what{|?}",
    "meaning of $key",
    "which function is on $key{|?}",
    "i pressed $key{|, what happened}{|?}",
)
"""How people ask what a key does."""

SLASH_QUESTIONS = (
    "what does $command do{|?}",
    "$command{|?}",
    "what is $command{| for}{|?}",
    "what happens when i type $command{|?}",
    "explain $command",
    "what's $command{|?}",
)
"""How people ask what a command does."""

KEY_ANSWERS = (
    "{Press|Use|Hit} **$key**$other_keys. $sentence.",
    "**$key**$other_keys does that: $lower.",
    "{Press|Use} **$key**$other_keys$or_command.",
    "{With|That is on} **$key**$other_keys: $lower.",
    "Press **$key**$other_keys. $scope_note",
)
"""What the guide says when a key is asked for."""

COMMAND_ANSWERS = (
    "Type `$command`$other_commands, or press **$key**. $sentence.",
    "`$command`$other_commands: $lower. The key is **$key**.",
    "The command is `$command`; **$key** does the same.",
)
"""What the guide says when a command is asked for."""

MEANING_ANSWERS = (
    "**$key**: $lower.",
    "**$key** is *$label*: $lower.",
    "$sentence. That is **$key**$or_command.",
)
"""What the guide says when a key's meaning is asked for."""

FREE_KEYS = (
    "Ctrl+K",
    "Ctrl+U",
    "Ctrl+W",
    "Ctrl+X",
    "Ctrl+V",
    "Ctrl+F",
    "Ctrl+E",
    "Ctrl+D",
    "Alt+Q",
    "Alt+W",
    "Alt+Z",
    "Alt+X",
    "F11",
    "F12",
    "Alt+J",
    "Alt+K",
    "Ctrl+1",
    "Alt+9",
)
"""Keys to ask about that do nothing, as long as the registry leaves them free."""

FREE_ANSWERS = (
    "**$key** does nothing in xchat by default, as far as I know. **${key:help}** shows all keys.",
    "As far as I know **$key** is free. **${key:help}** lists every key; the `[keys]` table of the config can put something on it.",
)
"""What the guide says about a key that does nothing."""


def tasks_of(action: ActionFact) -> tuple[str, ...]:
    """What people say they want to do when they mean this action."""
    if action.id in TASKS:
        return TASKS[action.id]
    sentence = lower_first(action.sentence.split(";")[0].split(":")[0])
    first = sentence.split(",")[0]
    return (sentence, first) if first != sentence else (sentence,)


def lower_first(sentence: str) -> str:
    """The sentence as it stands after a colon."""
    return sentence if sentence[:2].isupper() else sentence[0].lower() + sentence[1:]


def spellings(key: str) -> tuple[str, ...]:
    """How people write a key: `Ctrl+R`, `ctrl-r`, `control r`, `^R`."""
    lower = key.lower()
    ways = [key, key, lower, lower, lower.replace("+", "-"), lower.replace("+", " ")]
    if key.startswith("Ctrl+"):
        ways += [lower.replace("ctrl+", "control "), lower.replace("ctrl+", "control+")]
        if len(key) == 6:
            ways += ["^" + key[-1], "C-" + lower[-1]]
    if key.startswith("Alt+") and len(key) == 5:
        ways.append("M-" + lower[-1])
    if key == "Esc":
        ways += ["escape", "Escape", "the escape key"]
    if key in {"PgUp", "PgDn"}:
        ways.append({"PgUp": "page up", "PgDn": "page down"}[key])
    return tuple(ways)


def slots_of(action: ActionFact) -> dict[str, str]:
    """The slots that key answers are written with."""
    others = [f"**{key}**" for key in action.keys[1:]]
    commands = [f"`/{name}`" for name in action.slash[1:]]
    scope = "" if action.scope == "anywhere" else f" It works {action.scope}."
    return {
        "key": action.key if action.keys else "",
        "other_keys": f" (or {' or '.join(others)})" if others else "",
        "command": f"/{action.slash[0]}" if action.slash else "",
        "other_commands": f" (or {' or '.join(commands)})" if commands else "",
        "or_command": f", or type `/{action.slash[0]}`" if action.slash else "",
        "sentence": action.sentence,
        "lower": lower_first(action.sentence),
        "label": action.label,
        "scope_note": (f"{action.sentence}.{scope}" if scope or not action.slash else f"The command `/{action.slash[0]}` does the same."),
    }


def key_exchange(rng: Random, facts: Facts) -> tuple[ActionFact | None, str, str]:
    """A question about a key or command, and its answer; the action it is about, if any."""
    kind = rng.random()
    if kind < 0.05:
        return None, *_free_key(rng, facts)
    action = rng.choice(facts.actions)
    slots = slots_of(action)
    if action.keys and (kind < 0.55 or not action.slash):
        if kind > 0.35:
            key = rng.choice(action.keys)
            question = expand(rng.choice(KEY_QUESTIONS), rng, {"key": rng.choice(spellings(key))})
            return action, question, expand(rng.choice(MEANING_ANSWERS), rng, slots | {"key": key})
        question = expand(rng.choice(DO_QUESTIONS), rng, {"task": tasks_of(action)})
        return action, question, expand(rng.choice(KEY_ANSWERS), rng, slots).rstrip()
    if not action.keys or kind > 0.85:
        name = rng.choice(action.slash)
        question = expand(rng.choice(SLASH_QUESTIONS), rng, {"command": f"/{name}"})
        return action, question, slash_answer(rng, action, name)
    if kind > 0.72:
        question = expand(rng.choice(COMMAND_QUESTIONS), rng, {"task": tasks_of(action)})
        return action, question, expand(rng.choice(COMMAND_ANSWERS), rng, slots)
    question = expand(rng.choice(DO_QUESTIONS), rng, {"task": tasks_of(action)})
    return action, question, expand(rng.choice(KEY_ANSWERS), rng, slots).rstrip()


def slash_answer(rng: Random, action: ActionFact, name: str) -> str:
    """What a slash command does."""
    tail = f" The key for it is **{action.key}**." if action.keys else ""
    return expand("{`/$name`: $lower.|`/$name` means: $lower.}", rng, {"name": name, "lower": lower_first(action.sentence)}) + tail


def _free_key(rng: Random, facts: Facts) -> tuple[str, str]:
    taken = {key for action in facts.actions for key in action.keys}
    key = rng.choice([key for key in FREE_KEYS if key not in taken])
    question = expand(rng.choice(KEY_QUESTIONS), rng, {"key": rng.choice(spellings(key))})
    return question, expand(rng.choice(FREE_ANSWERS), rng, facts.slots() | {"key": key})


def action_follow_up(rng: Random, action: ActionFact, kind: str) -> str | None:
    """What the guide says to a follow-up about an action."""
    slots = slots_of(action)
    if kind == "short":
        return f"**{action.key}**." if action.keys else f"`/{action.slash[0]}`."
    if kind == "why":
        return expand(
            "{The keys are chosen|That key was chosen} to work in old terminals, in tmux and over SSH. You can change it in the `[keys]` table of the config.",
            rng,
        )
    if kind == "more":
        commands = " and ".join(f"`/{name}`" for name in action.slash)
        return f"In the config it is called `{action.id}`, in the group *{action.group}*. " + (
            f"Commands: {commands}." if commands else "There is no command for it."
        )
    if kind == "example" and action.slash:
        return f"Type this in the prompt:\n\n```\n/{action.slash[0]}\n```"
    if kind == "command":
        return (
            expand("Yes: `$command`$other_commands.", rng, slots) if action.slash else "No, there is only the key: " + f"**{action.key}**."
        )
    return None
