"""Stories and lists on request: long streams that end by themselves.

A story is told in phases, one paragraph each; who, where and what are drawn once, so that they stay the same to the end.
"""

from __future__ import annotations

from random import Random

from engine.guide.training.corpus.asked import asked
from engine.guide.training.corpus.grammar import expand
from engine.guide.training.corpus.outside import NOUNS, gibberish
from engine.guide.training.corpus.smalltalk import PERSONS

SUBJECTS = tuple(
    """lighthouse ship island forest castle river bridge robot dragon clock garden mountain library train village harbour tower cat dog fox owl whale star moon storm mill bakery
    key map lamp mirror boat door book letter wizard knight princess pirate baker fisherman sailor king queen ghost giant mouse bear wolf horse bird tree stone well cave desert lake
    ocean rocket planet balloon bicycle piano violin painter farmer teacher postman city snowman rabbit turtle hedgehog dolphin token model computer server kettle teapot umbrella candle""".split()
)
"""What people want a story about; other nouns are used as well."""

JOBS = (
    "keeper",
    "fisherman",
    "baker",
    "clockmaker",
    "carpenter",
    "librarian",
    "gardener",
    "sailor",
    "painter",
    "postman",
    "teacher",
    "shepherd",
    "miller",
    "cook",
    "mapmaker",
    "ferryman",
)
FRIENDS = ("cat", "dog", "fox", "owl", "raven", "goat", "mouse", "parrot", "heron", "donkey", "hedgehog", "seagull")
GIFTS = (
    "lantern",
    "brass key",
    "small bell",
    "folded map",
    "silver whistle",
    "wooden box",
    "blue stone",
    "old letter",
    "compass",
    "music box",
)
PLACES = (
    "by the sea",
    "at the end of a long road",
    "between two hills",
    "on the edge of a forest",
    "at the mouth of a river",
    "high in the mountains",
    "on a small island",
    "in a quiet valley",
)
TRAITS = ("patient", "curious", "stubborn", "shy", "cheerful", "careful", "brave", "dreamy")

OPENINGS = (
    "{Once upon a time|Long ago|Many years ago|In a time before clocks} there {was|stood} a $subject $place. {Nobody|No one} knew how old it was, and {nobody|no one} asked, for it had always been there. Near it lived $hero, a $trait $job with a $friend that {slept most of the day|never left the house|knew more than it showed}.",
    "$hero was a $trait $job and lived $place. There was not much to see there: a few houses, a path, and the $subject that everybody talked about in the evenings. Only the $friend of $hero {paid it no attention|seemed not to care}.",
    "There is a story they tell $place, about $hero and the $subject. It begins on an ordinary morning, with {porridge and rain|bread and fog|tea and a cold wind}, and with a $friend that would not stop looking out of the window.",
    "The $subject was the first thing that $hero saw each morning and the last thing each night. $hero was a $job, $trait by nature, and lived $place with a $friend and {very few|three} chairs.",
)
SIGNS = (
    "One evening something was different. A light that nobody had lit moved around the $subject, {slowly|carefully}, as if it was looking for something. The $friend saw it first and {made a small sound|stood quite still}. $hero put on a coat and went to the door.",
    "Then came the night of the great storm. Rain ran down the windows, and the wind pulled at the roof. In the middle of it $hero heard a knock, three times, from the side where the $subject was. Nobody ever came from there.",
    'On the first day of {autumn|spring|winter} a stranger arrived and asked the way to the $subject. "It has something that belongs to me," the stranger said, and left a $gift on the table. In the morning the stranger was gone, and the $gift was still there.',
    "It began with a sound. Every night at the same hour the $subject hummed, quietly, like a kettle before it boils. Most people closed their windows. $hero opened one and listened, with the $friend beside {the lamp|the stove}.",
)
DEPARTURES = (
    '"We should go and look," said $hero. The $friend did not answer, but it was at the door before the boots were on. They took bread, a rope and the $gift, and walked out into the {grey|cold|pale} morning.',
    "$hero packed a bag that same night: a blanket, some apples, and the $gift that had been in the family for so long that nobody knew what it was for. The $friend came along without being asked.",
    'In the village they laughed. "Leave it alone," they said, "it has never done anybody any good." But a $job who is $trait does not turn around so easily, and so $hero set out, with the $gift in one pocket and a piece of cheese in the other.',
    'It took three days until $hero found the courage. On the fourth the sky was clear, and there were no excuses left. "Stay here," $hero said to the $friend, and the $friend, of course, came along.',
)
ROADS = (
    "The way was longer than it looked. They crossed a field of wet grass, a stream without a bridge, and a wood where the trees stood so close that noon looked like evening. Twice they lost the path, and twice the $friend found it again.",
    'They walked until their feet hurt. On the road they met an old woman with a cart who would not say where she came from. She looked at the $gift for a long time. "Do not give it away," she said, "not even if they ask nicely."',
    "For the first hours nothing happened at all, and $hero began to feel a little foolish. Then fog came up from the ground, thick and white, and in the fog there were voices that counted: one, two, three, and then from the beginning.",
    "At a crossroads the sign had fallen down. $hero turned it this way and that way. In the end they followed the $friend, who had chosen a road and {sat down in the middle of it|was already walking}.",
)
ARRIVALS = (
    "At last they stood before the $subject. From near by it was {larger|smaller} than $hero had thought, and warmer, as if something inside was breathing. There was a mark on it, and the mark had the shape of the $gift.",
    "And there it was. The $subject looked as it had always looked, and yet $hero had the feeling of being expected. The $friend walked around it once, {sniffed|listened}, and lay down. That was a good sign.",
    'When they reached the $subject the sun was going down. Everything was quiet. $hero knocked, because it seemed polite, and from inside a voice said: "You are late. But come in, come in."',
    "Nobody had been so close to the $subject for a hundred years. The air smelled of {salt and iron|dust and oranges|rain and smoke}. $hero took the $gift out of the pocket, and it began to glow, first a little, then so much that it hurt the eyes.",
)
TROUBLES = (
    'Then the ground shook. Stones rolled down, the light went out, and for a moment $hero could not tell up from down. When it was over, the way back was gone. "Well," said $hero to the $friend, "then there is only forward."',
    'But someone else was there. A tall figure in a grey coat stood between them and the light and held out a hand. "Give me the $gift," it said, "and you may go home." $hero thought of the warm kitchen, and of the old promise, and said no.',
    "It would not open. $hero pushed and pulled, spoke kindly and then not so kindly. Nothing helped. Hours went by. The bread was eaten, the lamp was nearly empty, and the $friend had fallen asleep.",
    "And then the $gift slipped out of $hero's hand. It rolled, it jumped over a stone, and it fell into the dark. They heard it ring far below, once, twice, and then no more.",
)
TURNS = (
    "It was the $friend that found the answer. It had been looking at the same spot the whole time, and when $hero finally looked there too, there was a small door, no higher than a hand. Behind it lay {a letter|a page}, and on it stood only four words: *you have to ask.*",
    "$hero sat down and did what a good $job does when nothing works: nothing, for a while. And in the silence it became clear. The humming was not a threat. It was a song, very old and very slow, and one note of it was missing.",
    '"Who are you?" asked $hero at last. It was the right question. The voice was quiet for so long that it seemed to have gone. Then it said: "I am the one who waited. I kept this place, and now I am tired. Somebody has to remember it."',
    "Then $hero remembered what the old people used to say: that the $subject does not belong to those who want it, but to those who look after it. So $hero took a cloth and began to clean, slowly, from one end to the other. And something changed.",
)
SOLUTIONS = (
    "The light came back, softer than before. The $subject turned, or seemed to turn, and the $gift lay on the ground as if it had never been lost. $hero put it in its place. There was a click, a very small one, like the closing of a good box.",
    "$hero sang the missing note, not well, but well enough. The walls answered. One after the other the old lights went on, until the whole $subject shone, and far away, in the village, people came out of their houses and pointed.",
    '"I will remember it," said $hero, and meant it. The $gift grew warm and then cool again. What had been heavy was light now. Even the $friend, who did not like changes, {put its head on $hero\'s foot|closed its eyes and was content}.',
    "All night they worked together, $hero and the voice and, in its own way, the $friend. By dawn everything was in order again: the cracks were closed, the dust was gone, and the $subject stood there like on its first day.",
)
RETURNS = (
    "They went home by another road, which was much shorter, as roads home often are. The fog was gone. At the crossroads somebody had put up the sign again, and under it, in fresh paint, stood the name of $hero.",
    'On the way back they met the old woman with the cart again. She looked at $hero, and then at the empty pocket, and smiled with all of her three teeth. "So you did not give it away," she said. "No," said $hero, "I left it where it belongs."',
    "When they came back to the village, nobody laughed. They asked a hundred questions, and $hero answered as many as there was soup. Then it was late, and the lamps were put out, one by one.",
    "The way home was quiet. $hero thought about how many things stand around that nobody looks at, because they have always been there. The $friend thought about supper.",
)
ENDINGS = (
    "From that day on $hero went to the $subject once a week, with a cloth and a can of oil. And if you come there on a clear evening, you can still hear it hum, quietly, with all of its notes. {The end.|That is the end of the story.}",
    "That was many years ago. The $subject is still there, and so is the path. Children ask what the mark on it means, and somebody always tells them about $hero, the $trait $job, and about the $friend that knew it all along. The end.",
    "And the $gift? It is in its place. $hero could have been rich, they say, or famous. But a $job needs sleep and good shoes and someone to talk to, and $hero had all of that. {The end.|So ends the story.}",
    "$hero lived for a long time after that, $place, and never told anybody what the voice had said at the very end. Only the $friend knew, and a $friend can keep a secret. The end.",
)
PHASES = (OPENINGS, SIGNS, DEPARTURES, ROADS, ARRIVALS, TROUBLES, TURNS, SOLUTIONS, RETURNS, ENDINGS)
SHORT_PHASES = (OPENINGS, SIGNS, ENDINGS)
TITLES = (
    "The $title and the $friend",
    "$hero and the $title",
    "The song of the $title",
    "The keeper of the $title",
    "What the $title knew",
)

ASK_LONG = (
    "{tell me|write|write me|i want|can you tell me|give me} a long{, long|} story about {a|an|the} $subject",
    "a long story about {a|the} $subject{ please|}",
    "tell me a {very |really |}long story",
    "long story about $subject",
    "tell a long story {about|with} a $subject{ and a $friend|}",
    "i would like a long story about {a|my} $subject",
    "write a long {fairy |}tale about {a|the} $subject",
    "{make up|invent} a long story about a $subject",
)
ASK_SHORT = (
    "{tell me|write|tell|give me|i want} a {short |little |}story about {a|an|the} $subject",
    "{tell me|tell} a {short |}story",
    "a {short |}story{ please|}",
    "story",
    "story about $subject",
    "a bedtime story",
    "{make up|invent} a story about a $subject",
    "can you tell {stories|a story|me a story}",
    "do you know a story",
    "once upon a time",
    "tell me a {fairy |}tale",
    "tell me something about a $subject in a story",
    "read me a story",
    "another story",
    "one more story",
)

LISTS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "{give me|list|i want} {five|some|a few} tips for {running models|local models|speed|xchat|beginners}",
        ("Here are five:", "Five tips:"),
        (
            "Start with Q4_K_M.",
            "Set threads to the physical cores, or to auto.",
            "Change one setting at a time.",
            "Watch tokens/s in the panel.",
            "Keep an eye on memory; swapping ruins everything.",
            "Keep prompts short for a low TTFT.",
            "Use a fixed seed when you compare.",
            "Run inside tmux when you work over SSH.",
            "Close other busy programs before you measure.",
            "Make a preset for each setup that works.",
        ),
    ),
    (
        "{give me|list|tell me} {five|some|a few} {terms|words} {of the trade|i should know|for beginners|about local models}",
        ("Five words to know:", "Here they are:"),
        (
            "**Token**: a piece of text, about four characters.",
            "**Prefill**: reading the prompt.",
            "**Decode**: writing the answer, token by token.",
            "**TTFT**: time to first token.",
            "**KV cache**: what the model remembers of the conversation.",
            "**Quant**: the model in fewer bits.",
            "**GGUF**: the file format.",
            "**Seed**: the start of the dice.",
            "**Context window**: how much the model can see.",
            "**Preset**: a named set of settings.",
        ),
    ),
    (
        "{list|give me|name} {some|five|a few} {reasons for|advantages of|reasons to use} {local models|running models locally|a local model}",
        ("Here are five reasons:", "Five of them:"),
        (
            "Nothing leaves your machine.",
            "It works without a network.",
            "It costs nothing per token.",
            "You choose the model and the quant.",
            "The same seed gives the same answer.",
            "You see every number: tokens/s, TTFT, memory.",
            "No one changes the model behind your back.",
        ),
    ),
    (
        "{make|give me|write} a {list|checklist} {of steps |}{before measuring|for a benchmark|to measure speed}",
        ("A short checklist:", "Do this:"),
        (
            "Close other programs.",
            "Load the model and send one message to warm up.",
            "Use the same prompt and seed.",
            "Change one setting.",
            "Repeat five times.",
            "Compare the medians.",
            "Leave noisy runs out.",
        ),
    ),
)
"""Requests for a list, its heads, and the items to draw five from."""


def story(rng: Random, *, long: bool) -> tuple[str, str]:
    """A request and the story; a long one has ten paragraphs (400 to 900 tokens), a short one three."""
    roll = rng.random()
    subject = rng.choice(SUBJECTS) if roll < 0.7 else (rng.choice(NOUNS) if roll < 0.95 else gibberish(rng))
    slots = {
        "subject": subject,
        "title": subject,
        "hero": rng.choice(PERSONS),
        "job": rng.choice(JOBS),
        "friend": rng.choice(FRIENDS),
        "gift": rng.choice(GIFTS),
        "place": rng.choice(PLACES),
        "trait": rng.choice(TRAITS),
    }
    question = expand(rng.choice(requests(long=long)), rng, slots)
    paragraphs = [expand(rng.choice(phase), rng, slots) for phase in (PHASES if long else SHORT_PHASES)]
    if rng.random() < 0.6:
        paragraphs.insert(0, f"**{expand(rng.choice(TITLES), rng, slots)}**")
    return question, "\n\n".join(paragraphs)


def requests(*, long: bool) -> tuple[str, ...]:
    """How people ask for a long or a short story."""
    own, others = (ASK_LONG, asked("stories").get("long", ())) if long else (ASK_SHORT, asked("stories").get("short", ()))
    return (*own, *(frame.replace("$subject", "{a|the} $subject") for frame in others))


def listing(rng: Random) -> tuple[str, str]:
    """A request for a list, and the list."""
    question, heads, items = rng.choice(LISTS)
    chosen = rng.sample(items, 5)
    numbered = rng.random() < 0.5
    lines = [f"{number}. {item}" if numbered else f"- {item}" for number, item in enumerate(chosen, 1)]
    return expand(question, rng), rng.choice(heads) + "\n\n" + "\n".join(lines)
