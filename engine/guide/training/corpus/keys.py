"""Questions about keys and commands, and their answers, made from the registry's facts."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from engine.guide.training.corpus.asked import asked
from engine.guide.training.corpus.facts import ActionFact, Facts
from engine.guide.training.corpus.grammar import expand

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
    "presets": (
        "pick a preset",
        "choose a preset",
        "change the preset",
        "see the presets",
        "open the list of presets",
        "switch presets",
        "use another preset",
        "get to my presets",
        "load a preset",
    ),
    "next_preset": (
        "take the next preset",
        "go to the next preset",
        "cycle through the presets",
        "jump one preset further",
        "step to the following preset",
    ),
    "previous_preset": (
        "take the previous preset",
        "go to the previous preset",
        "step one preset back in the list",
        "jump to the preset before",
    ),
    "previous_quant": (
        "use a larger quant",
        "switch to a larger quant",
        "get a better quant of this model",
        "take the next larger quant",
        "go up one quant",
        "raise the quant",
        "switch from q4 to q5",
        "have more bits per weight",
    ),
    "next_quant": (
        "use a smaller quant",
        "switch to a smaller quant",
        "get a faster quant of this model",
        "take the next smaller quant",
        "go down one quant",
        "lower the quant",
        "switch from q8 to q6",
        "have fewer bits per weight",
    ),
    "fewer_threads": (
        "use one thread fewer",
        "remove a thread",
        "lower the number of threads",
        "decrease threads",
        "take a thread away",
        "reduce the thread count",
        "decode with fewer threads",
        "free one core",
    ),
    "more_threads": (
        "use one thread more",
        "add a thread",
        "raise the number of threads",
        "increase threads",
        "give it another thread",
        "grow the thread count",
        "decode with more threads",
    ),
    "switch_back": (
        "go back to the previous settings",
        "undo the last switch",
        "return to the model before",
        "switch back",
        "take back a change of settings",
        "revert to the old preset",
        "get the old model back",
        "undo a change of quant",
    ),
    "capture": (
        "record a flamegraph",
        "profile the program",
        "capture a profile",
        "make a flamegraph",
        "record where the time goes",
        "start py-spy",
        "start a capture",
        "stop a capture early",
        "run the profiler",
        "take a flamegraph",
        "begin profiling",
        "find out where the time goes",
    ),
    "capture_mode": (
        "choose what is recorded",
        "set how long a capture runs",
        "capture with native frames",
        "change the capture mode",
        "record for thirty seconds",
        "profile with native code",
    ),
    "flame": (
        "look at a flamegraph",
        "open the flamegraph",
        "view a capture",
        "compare two captures",
        "see what was recorded",
        "show the last flamegraph",
        "open the flame viewer",
        "see a differential flamegraph",
    ),
}
"""What people want to do, by action id; actions that are not here are asked for in the words of their own sentence."""

MORE_TASKS: Mapping[str, tuple[str, ...]] = {
    "send": ("hand over the question", "deliver my text", "confirm the message", "ask the question i typed"),
    "newline": (
        "break the line",
        "add a second line",
        "write a paragraph",
        "insert a line break",
        "enter several lines of text",
        "make the prompt two lines long",
    ),
    "stop": (
        "silence the model",
        "kill the answer",
        "quit the answer",
        "terminate the reply",
        "interrupt this reply",
        "abort the output",
        "break off the text",
        "stop the talking",
        "hold the model back",
        "end the rambling",
        "stop a reply halfway",
        "interrupt generation",
        "cancel the output",
        "make the model quit talking",
        "get it to be quiet",
        "stop the stream",
        "prevent it from going on",
    ),
    "regenerate": (
        "roll the answer again",
        "get a second version",
        "make a second attempt",
        "receive a different reply",
        "have a second try",
        "reroll",
        "run the question once more",
        "ask for an alternative answer",
        "replace the reply by a new one",
        "get an answer that is different",
        "regenerate the reply",
        "generate the answer anew",
        "let it answer differently",
    ),
    "edit_message": (
        "modify my previous message",
        "repair a mistake in my message",
        "edit something i already sent",
        "reword my question",
        "alter the message i typed",
        "correct what i sent",
        "edit the previous message",
    ),
    "continue_answer": (
        "carry on with the answer",
        "resume the truncated reply",
        "extend the answer",
        "finish an incomplete answer",
        "proceed with an answer that stopped early",
        "keep the answer going",
        "make the reply longer where it ended",
    ),
    "history_back": (
        "recall older prompts",
        "see older messages in the prompt",
        "bring back what i wrote before",
        "fetch the last input",
        "scroll back in my inputs",
    ),
    "history_forward": ("recall newer prompts", "see newer messages in the prompt", "come back down in the history"),
    "select_previous": (
        "choose the message above",
        "highlight the message before this one",
        "move the selection up",
        "go to the message above",
    ),
    "select_next": (
        "choose the message below",
        "highlight the message after this one",
        "move the selection down",
        "go to the message below",
    ),
    "previous_sibling": (
        "return to the previous branch",
        "see the former version",
        "step to the older branch",
        "flip to the previous version",
    ),
    "next_sibling": ("proceed to the next branch", "see the later version", "step to the newer branch", "flip to the next version"),
    "page_up": ("move up a page", "look further up", "read older text", "page up", "scroll upwards"),
    "page_down": ("move down a page", "look further down", "page down", "scroll downwards"),
    "to_start": (
        "reach the very start of the conversation",
        "get to the first line",
        "return to the top of the chat",
        "see how the conversation began",
    ),
    "to_end": (
        "reach the end of the conversation",
        "return to the bottom of the chat",
        "get down to the newest text",
        "catch up with the answer",
    ),
    "toggle_thinking": (
        "conceal the thinking",
        "make the thinking text disappear",
        "reveal the reasoning",
        "view what it thought",
        "not see the thinking",
        "open the thinking block",
    ),
    "copy_message": (
        "copy the reply",
        "take the answer to my clipboard",
        "grab the answer",
        "copy what you said",
        "get your text into another program",
        "save the reply to the clipboard",
        "copy the response",
    ),
    "copy_code": (
        "grab the code block",
        "take only the code part",
        "copy the snippet",
        "extract the code",
        "get just the code",
        "copy the program you wrote",
    ),
    "show_prompt": (
        "display the exact prompt",
        "look at the full raw prompt",
        "see the templated prompt",
        "reveal the prompt behind the chat",
        "check the prompt with all its marks",
        "look at the context as sent",
    ),
    "new_session": (
        "begin a new chat",
        "get an empty chat",
        "open a brand new session",
        "have a blank conversation",
        "forget this conversation and start another",
        "drop this chat",
        "leave this topic and begin anew",
        "make a fresh session",
    ),
    "sessions": (
        "see previous chats",
        "look for an earlier session",
        "search through old conversations",
        "reopen a chat from yesterday",
        "get the list with earlier sessions",
        "show past chats",
        "return to a chat from last week",
    ),
    "models": (
        "bring up the models",
        "take another model",
        "get the list of models",
        "exchange the model",
        "choose among several models",
        "use a different gguf",
        "select which model answers",
        "open a gguf file",
    ),
    "bigger_batch": (
        "enlarge stream_batch",
        "have larger chunks on the screen",
        "see fewer paints",
        "put more tokens into one paint",
        "make the batch larger",
        "grow the stream batch",
    ),
    "smaller_batch": (
        "shrink stream_batch",
        "have smaller chunks on the screen",
        "see more paints",
        "put fewer tokens into one paint",
        "make the text smoother",
        "reduce stream_batch",
    ),
    "auto_batch": (
        "have stream_batch chosen for me",
        "let the program decide on stream_batch",
        "switch stream_batch to automatic",
        "get an automatic stream batch",
    ),
    "toggle_panel": (
        "make the panel disappear",
        "bring the panel back",
        "turn the panel off",
        "turn the panel on",
        "see the charts",
        "remove the instruments",
        "display the speed",
        "see tokens per second",
        "view memory and cpu",
    ),
    "native_log": (
        "view the native log",
        "check the log",
        "see the messages of the library",
        "inspect the log",
        "find out what llama.cpp said",
        "display the log",
    ),
    "palette": (
        "find a command whose name i forgot",
        "list all commands",
        "search for a command",
        "get the command palette",
        "bring up the palette",
        "run a command by name",
    ),
    "theme": (
        "get other colours",
        "select a different theme",
        "use a dark theme",
        "have a bright theme",
        "switch to other colors",
        "open the theme list",
        "change how it looks",
        "get a theme that is easier on the eyes",
    ),
    "help": (
        "open the help page",
        "read the manual",
        "find the documentation",
        "see what the keys are",
        "get assistance",
        "view the help screen",
    ),
    "suspend": (
        "send xchat to the background",
        "return to the shell for a while",
        "stop the program without leaving",
        "use the shell in between",
        "move xchat to the background",
    ),
    "quit": (
        "finish the program",
        "go home",
        "leave the chat program",
        "close the application",
        "stop using xchat",
        "terminate xchat",
        "get out of xchat",
        "exit for today",
        "end xchat",
    ),
    "rename_session": (
        "rename a session",
        "give a session another title",
        "change the title of a chat",
        "name a conversation",
        "retitle a session",
    ),
    "delete_session": (
        "delete a session",
        "remove a conversation",
        "erase a chat",
        "delete a chat for good",
        "get rid of a session",
        "throw away a conversation",
    ),
    "pane_up": ("select the pane above", "go to the pane above"),
    "pane_down": ("select the pane below", "go to the pane below"),
    "expand_pane": ("make a pane larger", "let a pane fill the panel", "enlarge a pane", "expand the pane", "maximize a pane"),
    "open_chart": ("open a chart large", "see a big chart", "enlarge the chart", "view the chart with axes", "read values from a chart"),
    "explain": (
        "get a number explained",
        "explain a figure in the panel",
        "see the formula of a number",
        "learn what a number in the panel means",
        "find out where a figure comes from",
    ),
    "pause_panel": ("pause the panel", "freeze the charts", "hold the panes still", "stop the panel from moving", "unfreeze the panel"),
    "panel_window": (
        "see the last five minutes",
        "change the time span of the charts",
        "look back over the whole session",
        "change the window of the charts",
        "show one minute of the chart",
    ),
    "panel_density": (
        "see more detail in the panes",
        "make the panel denser",
        "change the density of the panel",
        "show less in each pane",
        "make the panes compact",
    ),
    "toggle_pane": ("hide one pane", "show a single pane", "toggle a pane by its number", "switch a pane off", "hide the memory pane"),
    "measure_host": (
        "measure the memory bandwidth",
        "measure this machine",
        "find out what my memory can do",
        "test the bandwidth of my ram",
        "measure the host",
    ),
    "export": (
        "export the performance logs",
        "save the measurements to a file",
        "export this session",
        "get the numbers as csv",
        "write the turns to a file",
        "export the measurements",
        "export my data",
        "write an export",
        "put the figures into a spreadsheet",
    ),
    "performance": (
        "see the turns of this session",
        "open the performance view",
        "view the performance of a session",
        "see how fast each turn was",
        "look at the charts of a session",
        "show the performance",
    ),
    "turn_charts": ("open the charts of the turns", "see the session's charts large", "enlarge the charts in the performance view"),
    "compare_session": ("compare with another session", "put two sessions side by side", "compare two sessions"),
    "compare_settings": (
        "compare two quants",
        "compare two presets",
        "put another preset beside this one",
        "compare settings in the performance view",
    ),
    "pin_session": ("pin a session", "keep a session on top", "unpin a session", "fix a session at the top of the list"),
    "branches": ("see all branches of a session", "show the branches", "list the branches of a conversation"),
    "filter_model": ("list sessions of one model", "filter sessions by model", "see only sessions with this model"),
    "filter_quant": ("list sessions of one quant", "filter sessions by quant"),
    "filter_preset": ("list sessions of one preset", "filter sessions by preset"),
    "filter_date": ("list sessions of last week", "filter sessions by date", "see only sessions from today"),
    "clear_filters": ("clear the filters", "list all sessions again", "remove the filter of the list", "see every session again"),
    "next_arrangement": (
        "change the arrangement of panes",
        "cycle the arrangements",
        "get another layout of the panel",
        "switch to the next arrangement",
    ),
    "save_arrangement": ("save the arrangement", "keep this layout of panes", "store my own arrangement", "remember the panes shown"),
    "accept": (
        "accept a dialog",
        "confirm a dialog",
        "say yes to a question of the program",
        "take the chosen line",
        "choose the marked entry of a list",
    ),
    "close": ("close a dialog", "leave a list", "dismiss a dialog", "get out of a dialog", "close a view", "go back without choosing"),
}
"""More of the same; wordings that need other words."""

DO_QUESTIONS = (
    "how {do|can|would|could|should} {i|I|one|you|we|someone} $task{|?}",
    "how to $task{|?}",
    "how do i $task in xchat{|?}",
    "{which|what} {key|keys|shortcut|combination} {do i press|lets me|is there|do i use|should i press|must i press|do i need|does one press} to $task{|?}",
    "what do i {press|type|do|hit} {to|if i want to|in order to|when i want to} $task{|?}",
    "i {want|would like|need|wish|have|am trying|am supposed} to $task",
    "is there a {key|shortcut|way|hotkey|command|button} to $task{|?}",
    "{key|shortcut|hotkey|button|keyboard shortcut|key combination} to $task{|?}",
    "can i $task{|?}",
    "$task",
    "$task{|?| please| how| now}",
    "{can|could} you {tell me|show me|explain} how to $task{|?}",
    "what is the {key|shortcut|hotkey|easiest way|quickest way} to $task{|?}",
    "{tell me|show me} how to $task",
    "where {can|do} i $task{|?}",
    "which {shortcut|button} {will|would} $task{|?}",
    "i don't know how to $task",
    "help me $task",
    "let me $task",
    "is it possible to $task{|?}",
    "{can|could|may} {one|you|i|we} $task{| here| somehow| with the keyboard}{|?}",
    "how {is it possible|does one manage} to $task{|?}",
    "i {can't|cannot|could not|failed to} $task",
    "{my goal is|i am here|all i want is} to $task",
    "what would be the {key|way|command|quickest key} to $task{|?}",
    "{i'd|i would} like to $task, {what now|how|what do i do|please}{|?}",
    "{show|teach|remind} me how {to|i can|one can} $task",
    "{where|which} is the {key|button|shortcut} to $task{|?}",
    "{any|some} {way|chance|trick|key|shortcut} to $task{|?}",
    "{what|how} if i {want|have|need} to $task{|?}",
    "suppose i {want|need} to $task",
    "it is time to $task",
    "{xchat|guide}, $task",
    "{i forgot|i don't remember|no idea} how to $task",
    "{what|which} {function|feature|action} {lets|helps} me $task{|?}",
    "when i {want|need} to $task, what {helps|then}{|?}",
)
"""How people ask for a key."""

DOING_QUESTIONS = (
    "$doing{|?}",
    "{shortcut|hotkey|button|keys|combination|keyboard} for $doing{|?}",
    "what is the {key|shortcut} for $doing{|?}",
    "$doing: {which key|how|what do i press}{|?}",
    "how about $doing{|?}",
    "{which|what} key is {used |meant |there |}for $doing{|?}",
    "i have trouble $doing",
    "is $doing possible{|?}",
    "tell me about $doing",
    "help with $doing",
    "$doing{, please| please| key| in xchat|, how does that go|, how is it done}{|?}",
    "how does $doing work{|?}",
    "i am interested in $doing",
    "{the|a} {key|way|function|shortcut} for $doing{|?}",
    "{who|what} helps {me |}with $doing{|?}",
    "where do i find $doing{|?}",
    "{quick|fast|easy} $doing{|?}",
    "what about $doing{| here| with a key}{|?}",
    "$doing {isn't|is not} {clear|obvious|easy}{ to me|}",
    "$doing with {the keyboard|a key|one key}{|?}",
    "i struggle with $doing",
)
"""The same with the task as a noun."""

COMMAND_QUESTIONS = (
    "{what is|what's} the {slash |}command to $task{|?}",
    "{which|what} {slash |}command {do i use|is there|can i type|lets me use the keyboard} to $task{|?}",
    "{slash |}command to $task{|?}",
    "is there a {slash |}command to $task{|?}",
    "how do i $task with a {slash |}command{|?}",
    "can i type {something|a command|a slash} to $task{|?}",
    "command for $doing{|?}",
    "{which|what} {slash |}command is for $doing{|?}",
    "as a {slash |}command: $task",
    "what do i type after the slash to $task{|?}",
    "$task by {slash |}command{|?}",
)
"""How people ask for a slash command."""

KEY_QUESTIONS = (
    "what does $key do{|?}",
    "what is $key{| for}{|?}",
    "$key{|?}",
    "what happens when i press $key{|?}",
    "{tell me|explain} what $key does",
    "{press|pressing|hit|i press} $key{|?}",
    "the $key key{|?}",
    "what's $key{| for}{|?}",
    "$key does what{|?}",
    "meaning of $key",
    "which function is on $key{|?}",
    "i pressed $key{|, what happened}{|?}",
    "what is on $key{|?}",
    "is $key {used|taken|a key|useful}{|?}",
    "when do i {use|need} $key{|?}",
    "{why|when} should i press $key{|?}",
    "$key {opens|shows|starts|gives} what{|?}",
    "what do i get {with|from|on} $key{|?}",
    "what can i do with $key{|?}",
    "{the|a} {function|job|role|task|point} of $key{|?}",
    "what did i just do with $key{|?}",
    "$key{ -|,|:} what {was|is} that {again|}{|?}",
    "what should i expect from $key{|?}",
    "i keep forgetting {what |}$key{ does|}",
    "does $key {stop|copy|open|change|start} {something|anything}{|?}",
    "$key on {my|the} keyboard{|?}",
    "what {did|will|would} $key {do|change|start}{|?}",
    "{somebody|the help|the footer} {mentioned|says|lists} $key{|, why|, what for}{|?}",
    "what comes up {after|with} $key{|?}",
    "how {do|can} i use $key{|?}",
    "{what|which} {action|command|screen|view|thing} {has|belongs to|comes with|sits on} $key{|?}",
)
"""How people ask what a key does."""

SLASH_QUESTIONS = (
    "what does $command do{|?}",
    "$command{|?}",
    "what is $command{| for}{|?}",
    "what happens when i type $command{|?}",
    "explain $command",
    "what's $command{|?}",
    "the $command command{|?}",
    "when do i {use|need|type} $command{|?}",
    "what do i get {with|from} $command{|?}",
    "{the|a} {function|job|role|task|point} of $command{|?}",
    "how {do|can} i use $command{|?}",
    "$command{ -|,|:} what {was|is} that {again|}{|?}",
    "what {will|did} $command {do|change|start|open}{|?}",
    "{typing|entering|sending} $command{ does what|, what then|}{|?}",
    "i {typed|saw|found} $command{|, what is it|, what does it do}{|?}",
    "does $command {stop|copy|open|change|start} {something|anything}{|?}",
    "meaning of $command",
)
"""How people ask what a command does."""

KEY_ANSWERS = (
    "{Press|Use|Hit} **$key**$other_keys$where. $sentence.",
    "**$key**$other_keys does that$where: $lower.",
    "{Press|Use} **$key**$other_keys$where$or_command.",
    "{With|That is on} **$key**$other_keys$where: $lower.",
)
"""What the guide says when a key is asked for."""

COMMAND_ANSWERS = (
    "Type `$command`$other_commands, or press **$key**. $sentence.",
    "`$command`$other_commands: $lower. The key is **$key**.",
    "The command is `$command`; **$key** does the same.",
)
"""What the guide says when a command is asked for."""

MEANING_ANSWERS = (
    "**$key**: $meaning.",
    "**$key** {does this|means this}: $meaning.",
    "**$key**: $meaning.",
)
"""What the guide says when a key's meaning is asked for."""

FREE_KEYS = ("Ctrl+K", "Ctrl+U", "Ctrl+W", "Ctrl+X", "Ctrl+V", "Ctrl+F", "Ctrl+E", "Ctrl+D", "F11", "F12", "Ctrl+1", "Alt+9")
"""Keys to ask about that do nothing, as long as the registry leaves them free."""

FREE_ANSWERS = (
    "**$key** does nothing in xchat by default, as far as I know. **${key:help}** shows all keys.",
    "As far as I know **$key** is free. **${key:help}** lists every key; the `[keys]` table of the config can put something on it.",
)
"""What the guide says about a key that does nothing."""

_DOUBLING = frozenset("stop quit get let put cut begin shut reset set run drop skip grab hit flip forget step submit cancel".split())
_ANYWHERE = "anywhere"
_MANY_KEYS = 3
"""More keys than this are named from the first to the last."""


def tasks_of(action: ActionFact) -> tuple[str, ...]:
    """What people say they want to do when they mean this action."""
    known = TASKS.get(action.id, ()) + MORE_TASKS.get(action.id, ())
    if known:
        return known
    sentence = lower_first(action.sentence.split(";")[0].split(":")[0])
    return tuple(dict.fromkeys((sentence, sentence.split(",")[0], sentence.split(" of ")[0], f"use {action.label.lower()}")))


def doing(task: str) -> str:
    """A task as a noun: `stop the answer` becomes `stopping the answer`."""
    verb, _, rest = task.partition(" ")
    if verb in _DOUBLING:
        verb += verb[-1]
    elif verb.endswith("e") and not verb.endswith("ee"):
        verb = verb[:-1]
    return f"{verb}ing {rest}".rstrip()


def lower_first(sentence: str) -> str:
    """The sentence as it stands after a colon."""
    return sentence if sentence[:2].isupper() else sentence[0].lower() + sentence[1:]


def spellings(key: str) -> tuple[str, ...]:
    """How people write a key: `Ctrl+R`, `ctrl-r`, `control r`, `^R`."""
    lower = key.lower()
    if len(key) == 1:
        return (f"{lower} in the panel", f"the key {lower}", f"{key} in the panel", f"the {lower} key")
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
    if key in {"Up", "Down", "Left", "Right"}:
        return (f"the {lower} arrow", f"arrow {lower}", f"the {lower} key", f"cursor {lower}")
    return tuple(ways)


def slots_of(action: ActionFact) -> dict[str, str]:
    """The slots that key answers are written with."""
    others = [f"**{key}**" for key in action.keys[1:]]
    commands = [f"`/{name}`" for name in action.slash[1:]]
    named = f" (or {' or '.join(others)})" if others else ""
    return {
        "key": action.key if action.keys else "",
        "other_keys": f" to {others[-1]}" if len(others) >= _MANY_KEYS else named,
        "where": "" if action.scope == _ANYWHERE else f" {action.scope}",
        "command": f"/{action.slash[0]}" if action.slash else "",
        "other_commands": f" (or {' or '.join(commands)})" if commands else "",
        "or_command": f", or type `/{action.slash[0]}`" if action.slash else "",
        "sentence": action.sentence,
        "lower": lower_first(action.sentence),
    }


def meaning(facts: Facts, key: str) -> str:
    """What a key does, with the place where it does it when there are several."""
    actions = [action for action in facts.actions if key in action.keys]
    if len(actions) == 1 and actions[0].scope == _ANYWHERE:
        return lower_first(actions[0].sentence)
    parts = [("" if action.scope == _ANYWHERE else f"{action.scope}, ") + lower_first(action.sentence.split(";")[0]) for action in actions]
    return "; ".join(parts)


OFTEN = frozenset("send stop regenerate copy_message new_session sessions models toggle_panel palette theme help quit".split())
"""What everybody asks for first, by action id."""
OFTEN_SHARE = 0.4
"""Share of the questions about keys that are about one of these."""


def key_exchange(rng: Random, facts: Facts) -> tuple[ActionFact | None, str, str]:
    """A question about a key or command, and its answer; the action it is about, if any."""
    action = rng.choice(facts.actions)
    if rng.random() < OFTEN_SHARE:
        action = rng.choice([action for action in facts.actions if action.id in OFTEN] or facts.actions)
    if action.scope != _ANYWHERE and rng.random() < 0.4:
        action = rng.choice(facts.actions)
    kinds = {"free": 5.0}
    if action.keys:
        kinds |= {"key": 30.0, "meaning": 16.0}
        if action.id in asked("keys"):
            kinds["situation"] = 55.0
    if action.slash:
        kinds |= {"command": 11.0, "slash": 11.0}
    kind = rng.choices(tuple(kinds), tuple(kinds.values()))[0]
    slots = slots_of(action)
    task = rng.choice(tasks_of(action))
    wanted = {"task": task, "doing": doing(task)}
    match kind:
        case "free":
            return None, *_free_key(rng, facts)
        case "key":
            forms = DO_QUESTIONS if rng.random() < 0.7 else DOING_QUESTIONS
            return action, expand(rng.choice(forms), rng, wanted), expand(rng.choice(KEY_ANSWERS), rng, slots)
        case "situation":
            return action, rng.choice(asked("keys")[action.id]), expand(rng.choice(KEY_ANSWERS), rng, slots)
        case "meaning":
            key = rng.choice(action.keys)
            question = expand(rng.choice(KEY_QUESTIONS), rng, {"key": rng.choice(spellings(key))})
            return action, question, expand(rng.choice(MEANING_ANSWERS), rng, {"key": key, "meaning": meaning(facts, key)})
        case "command" if action.keys:
            return action, expand(rng.choice(COMMAND_QUESTIONS), rng, wanted), expand(rng.choice(COMMAND_ANSWERS), rng, slots)
        case _:
            name = rng.choice(action.slash)
            return action, expand(rng.choice(SLASH_QUESTIONS), rng, {"command": f"/{name}"}), slash_answer(rng, action, name)


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
        return f"In the config it is called `{action.id}`. " + (f"Commands: {commands}." if commands else "There is no command for it.")
    if kind == "example" and action.slash:
        return f"Type this in the prompt:\n\n```\n/{action.slash[0]}\n```"
    if kind == "command":
        return (
            expand("Yes: `$command`$other_commands.", rng, slots) if action.slash else "No, there is only the key: " + f"**{action.key}**."
        )
    return None
