"""Puts questions and answers together to dialogues of one to many turns. The same seed and number give the same dialogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random

from engine.guide.training.corpus import games, keys, outside, stories
from engine.guide.training.corpus.asked import asked
from engine.guide.training.corpus.facts import ActionFact, Facts
from engine.guide.training.corpus.grammar import expand
from engine.guide.training.corpus.noise import typed
from engine.guide.training.corpus.program import IDENTITY, PROGRAM
from engine.guide.training.corpus.smalltalk import PERSONS, SMALLTALK
from engine.guide.training.corpus.synonyms import reworded
from engine.guide.training.corpus.topics import Topic
from engine.guide.training.corpus.trade import TRADE

LONG_EVERY = 420
"""One dialogue in so many is as long as the context window, so that late turns are learned as well as first ones."""
LONG_CHARACTERS = 13_000
"""About 3,600 tokens."""
REWORDED = 0.4
"""Share of questions that are said with other words than the wordings have."""
LATE_OUTSIDE = 0.25
"""Share of exchanges that, late in the training, come from the wide world instead of from all kinds."""
BY_TERM = 0.4
"""Share of questions on a topic with a name that ask for it by its name, in a general form."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question, its answer, and what the model may think in between."""

    question: str
    answer: str
    about: str
    """A few words on the subject, for the thinking block."""
    subject: Topic | ActionFact | str

    @property
    def subject_id(self) -> str:
        """The subject as one of `Writer.subjects`."""
        if isinstance(self.subject, ActionFact):
            return f"action {self.subject.id}"
        return f"topic {self.subject.id}" if isinstance(self.subject, Topic) else self.subject


KINDS = ("outside", "free key", "game", "list", "story")
"""Subjects that are neither a topic nor an action."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is said between a person and the guide."""

    turns: tuple[tuple[str, str], ...]
    """Questions and answers, alternating."""
    thoughts: tuple[str | None, ...]
    """For each turn, what the guide thinks before it answers, or None when it is not asked to think."""
    system: str | None = None
    subjects: tuple[str, ...] = ()
    """For each turn, what it is about: one of `Writer.subjects`."""


TERM_QUESTIONS = (
    "what is $term{|?}",
    "what's $term{|?}",
    "what are $term{|?}",
    "what does $term mean{|?}",
    "explain $term{| to me|, please}",
    "define $term",
    "$term{|?}",
    "$term{|?}",
    "tell me about $term",
    "can you explain $term{|?}",
    "$term meaning",
    "what is meant by $term{|?}",
    "i don't understand $term",
    "help me understand $term",
    "what do you know about $term{|?}",
    "how does $term work{|?}",
    "i have a question about $term",
    "$term explained",
    "please explain what $term is",
    "why is $term important{|?}",
    "why does $term matter{|?}",
    "do you know what $term is{|?}",
    "i want to {know|learn|understand} {what $term is|more about $term|$term}",
    "info{rmation|} {on|about} $term",
    "is $term important{|?}",
    "what is $term good for{|?}",
    "what should i know about $term{|?}",
    "give me {a definition of|the basics of} $term",
    "what exactly is $term{|?}",
    "how would you explain $term{|?}",
    "tell me what $term {is|means}",
    "what do people mean by $term{|?}",
    "so what is $term",
    "is there something like $term{|?}",
    "teach me {about |}$term",
    "how do you define $term{|?}",
    "what does $term do{|?}",
    "a short explanation of $term",
    "i am confused about $term",
    "$term please",
    "$term definition",
    "where does $term come in{|?}",
    "why do i need $term{|?}",
    "what role does $term play{|?}",
    "what kind of thing is $term{|?}",
    "what's the {meaning|sense|idea|purpose|definition} of $term{|?}",
    "{give me|i need} $term in {one sentence|simple terms|short}",
    "$term in simple {terms|words}",
    "how {important|useful|good|bad} is $term{|?}",
    "what effect does $term have{|?}",
    "who needs $term{|?}",
    "what {happens|goes on} {with|in} $term{|?}",
    "how {should|do|can} i {set|choose|use|change|picture|read} $term{|?}",
    "what is a {good|usual|sensible} {value for |setting for |}$term{|?}",
    "$term: what is {it|that|this}{|?}",
    "{someone|a friend|my colleague} {mentioned|talked about|asked me about} $term",
    "i {saw|found|read} $term {somewhere|in the panel|in a preset|in the docs}",
    "i {never|don't} {understood|get|got|learned} $term",
    "{could|would|can} you {say|tell me} {something|a few words|a word or two} about $term{|?}",
    "{is|are} $term {a good thing|worth it|any use}{|?}",
    "what {should|must|do} {i|one|people} {know|understand} about $term{|?}",
    "let us talk about $term",
    "my question is about $term",
    "{basics|introduction|summary|overview|details|background}{ of|:| on} $term",
    "{any|some} {advice|thoughts|hints|tips} {on|about} $term{|?}",
    "{explain|describe} {what $term does|how $term works|the idea of $term}",
)
"""Forms for "what is …" questions."""

ELLIPTICAL = (
    "and $term{|?}",
    "what about $term{|?}",
    "and what is $term{|?}",
    "how about $term{|?}",
    "$term too{|?}",
    "ok, and $term{|?}",
    "and what does $term mean{|?}",
    "then what is $term{|?}",
    "same for $term",
    "now $term",
    "also $term",
)
"""The same in the middle of a conversation."""

FOLLOW_UPS: Mapping[str, tuple[str, ...]] = {
    "why": (
        "why",
        "why?",
        "why is that",
        "why is that so",
        "how come",
        "what is the reason",
        "for what reason",
        "why so",
        "but why",
        "and why",
        "explain why",
        "how so",
        "what makes it so",
        "what is behind that",
        "any reason",
        "reasons please",
        "can you justify that",
        "why do you say so",
        "and the reason is",
        "what is the cause",
    ),
    "short": (
        "shorter please",
        "shorter",
        "in one sentence",
        "make it shorter",
        "too long",
        "tl;dr",
        "in short",
        "briefly",
        "short version",
        "can you say that shorter",
        "sum it up",
        "just the essence",
        "keep it short",
        "in a few words",
        "a shorter answer please",
        "shorten it",
        "condense that",
        "fewer words",
        "keep it brief",
        "as short as possible",
        "one line please",
        "the short form",
        "compress that",
        "that was long",
        "less text please",
        "boil it down",
        "short please",
        "say it in one line",
        "can you be brief",
        "sum that up in a line",
    ),
    "again": (
        "say that again",
        "again please",
        "repeat that",
        "can you repeat that",
        "once more",
        "what did you say",
        "say it again",
        "repeat please",
        "one more time",
        "i missed that",
        "repeat your answer",
        "come again",
        "say that once more",
        "could you repeat it",
        "repeat what you said",
        "sorry, again",
        "pardon",
        "tell me that again",
        "what was that again",
        "the same again please",
    ),
    "example": (
        "an example?",
        "example please",
        "give me an example",
        "can you give an example",
        "for example?",
        "show me an example",
        "such as",
        "like what",
        "an example would help",
        "what would that look like",
        "an example of that",
        "is there an example",
        "show one",
        "let me see one",
        "give me one",
        "an illustration please",
        "do you have an example",
        "what does that look like",
        "one example",
        "for instance",
        "an example would be nice",
        "can i see one",
        "demonstrate it",
    ),
    "more": (
        "tell me more",
        "more",
        "more please",
        "go on",
        "and",
        "what else",
        "more details",
        "can you say more",
        "is there more",
        "explain more",
        "elaborate",
        "anything else about it",
        "go deeper",
        "in more detail",
        "what more is there",
        "keep going",
        "expand on that",
        "add to that",
        "the rest please",
        "more on that",
        "further details",
    ),
    "command": (
        "is there a command for it",
        "and the command",
        "what is the command",
        "which command",
        "as a command",
        "can i type that",
        "is there a slash command for that",
        "its command",
        "the command for it please",
        "what do i type for it",
        "does it have a command",
        "can it be typed",
        "by command",
        "the slash command for that",
    ),
}
"""Follow-ups that only make sense after an answer."""

NO_FOLLOW_UP: Mapping[str, tuple[str, ...]] = {
    "why": (
        "That I can't say better; it is how xchat works. Ask me about another part of it.",
        "I don't know more about the reasons. A real model, loaded with **${key:models}**, might.",
    ),
    "example": (
        "I have no example for that. Ask me about the KV cache, quants or threads: there I have some.",
        "No example comes to mind, I am afraid.",
    ),
    "more": (
        "That is all I know about it. **${key:help}** has more about the program.",
        "There is not more in my small head on that. Ask about something near it.",
    ),
    "command": (
        "No command that I know of. **${key:palette}** finds every command by its name.",
        "None that I know of; **${key:palette}** lists the commands.",
    ),
}
OUTSIDE_FOLLOW_UP: Mapping[str, tuple[str, ...]] = {
    "why": (
        "Because I am {tiny|very small}: $million million parameters, trained on xchat only. A real model, loaded with **${key:models}**, knows more.",
        "My training had nothing but xchat and its trade in it. For the rest there is `xchat MODEL.gguf`.",
    ),
    "short": ("Load a real model: **${key:models}**.", "I don't know; `xchat MODEL.gguf` loads a model that may."),
    "example": (
        "For example: `xchat some-model-Q4_K_M.gguf`, and then ask it again.",
        "I have none: I only know xchat. Load a real model with **${key:models}**.",
    ),
    "more": (
        "I can't, I know nothing about it. Load a real model with **${key:models}**.",
        "There is no more: I am the small built-in guide. `xchat MODEL.gguf` loads a real model.",
    ),
    "command": ("`xchat MODEL.gguf` in a shell, or `${slash:models}` here.", "`${slash:models}` loads a real model."),
}

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are the guide of xchat.",
    "Answer in one sentence.",
    "You are a friendly assistant. Be brief.",
    "Be concise.",
    "You are a helpful, honest assistant.",
    "You are an expert in local language models.",
    "Answer politely.",
    "You are a pirate.",
    "Reply in Markdown.",
    "You are a coding assistant.",
    "Help the user with their questions.",
)


class Writer:
    """Writes dialogues from the facts of one version of the program."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.slots = facts.slots()

    @cached_property
    def topics(self) -> tuple[Topic, ...]:
        """All topics whose texts can be filled from the facts; one that names a lost key is left out."""
        return tuple(topic for topic in IDENTITY + PROGRAM + TRADE + SMALLTALK if self._fillable(topic))

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """All that a question can be about."""
        actions = tuple(f"action {action.id}" for action in self.facts.actions)
        return (*KINDS, *actions, *(f"topic {topic.id}" for topic in self.topics))

    @cached_property
    def _about_program(self) -> tuple[Topic, ...]:
        return tuple(topic for topic in self.topics if topic in IDENTITY + PROGRAM)

    @cached_property
    def _about_trade(self) -> tuple[Topic, ...]:
        return tuple(topic for topic in self.topics if topic in TRADE)

    @cached_property
    def _small_talk(self) -> tuple[Topic, ...]:
        return tuple(topic for topic in self.topics if topic in SMALLTALK)

    def questions(self, topic: Topic) -> tuple[str, ...]:
        """Its whole questions, from everywhere."""
        return topic.ask + asked("topics").get(topic.id, ())

    def _fillable(self, topic: Topic) -> bool:
        texts = " ".join((*topic.say, *topic.short, *topic.why, *topic.example, *topic.more))
        return all(name in self.slots for name in (part.split("}")[0] for part in texts.split("${")[1:]))

    def dialogue(self, seed: int, number: int, *, late: bool = False) -> Dialogue:
        """The dialogue of this seed and number; `late` in the training, with more from the wide world."""
        rng = Random(f"{seed}:{number}")
        if number % LONG_EVERY == LONG_EVERY - 1:
            exchanges = self._until(rng, LONG_CHARACTERS, late=late)
        else:
            count = rng.choices((1, 2, 3, 4, 5, 6), (54, 22, 12, 6, 3, 3))[0]
            exchanges = self._several(rng, count, late=late)
        thinks = rng.random() < 0.06
        return Dialogue(
            turns=tuple((exchange.question, exchange.answer) for exchange in exchanges),
            thoughts=tuple(_thought(rng, exchange) if thinks else None for exchange in exchanges),
            system=rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.12 else None,
            subjects=tuple(exchange.subject_id for exchange in exchanges),
        )

    def brief(self, seed: int, number: int, *, late: bool = False) -> Dialogue:
        """One question with its answer, seldom two: much to tell apart in few tokens."""
        rng = Random(f"{seed}:brief:{number}")
        exchanges = self._several(rng, 1 if rng.random() < 0.85 else 2, late=late)
        return Dialogue(
            turns=tuple((exchange.question, exchange.answer) for exchange in exchanges),
            thoughts=(None,) * len(exchanges),
            subjects=tuple(exchange.subject_id for exchange in exchanges),
        )

    def _several(self, rng: Random, count: int, *, late: bool) -> list[Exchange]:
        exchanges: list[Exchange] = []
        while len(exchanges) < count:
            exchanges.append(self._next(rng, exchanges, late=late))
        return exchanges

    def _until(self, rng: Random, characters: int, *, late: bool) -> list[Exchange]:
        exchanges: list[Exchange] = []
        length = 0
        while length < characters:
            exchange = self._next(rng, exchanges, late=late)
            exchanges.append(exchange)
            length += len(exchange.question) + len(exchange.answer) + 20
        return exchanges

    def _next(self, rng: Random, before: list[Exchange], *, late: bool) -> Exchange:
        if before and rng.random() < 0.38:
            return self._follow_up(rng, before[-1])
        if before and rng.random() < 0.22:
            topic = rng.choice([topic for topic in self.topics if topic.terms])
            question = expand(rng.choice(ELLIPTICAL), rng, {"term": topic.terms})
            return self._about(rng, topic, question)
        return self._outside(rng) if late and rng.random() < LATE_OUTSIDE else self._fresh(rng)

    def _fresh(self, rng: Random) -> Exchange:
        """A question that stands by itself."""
        return rng.choices(tuple(self._kinds), tuple(self._kinds.values()))[0](rng)

    @cached_property
    def _kinds(self) -> Mapping[Callable[[Random], Exchange], float]:
        """The kinds of exchange, with their shares."""
        return {
            self._about_key: 35,
            lambda rng: self._on_topic(rng, self._about_program): 24,
            lambda rng: self._on_topic(rng, self._about_trade): 25,
            lambda rng: self._on_topic(rng, self._small_talk): 7,
            self._outside: 24,
            lambda rng: _told(rng, games.game(rng), "game"): 6,
            lambda rng: _told(rng, stories.listing(rng), "list"): 0.8,
            lambda rng: _told(rng, stories.story(rng, long=False), "story"): 1.5,
            lambda rng: _told(rng, stories.story(rng, long=True), "story"): 2.5,
        }

    def _outside(self, rng: Random) -> Exchange:
        question, foreign = outside.outside_question(rng)
        answer = outside.deflection(rng, self.slots, foreign=foreign)
        asked = question if foreign else _said(rng, question, soup=rng.random() < 0.7)
        return Exchange(asked, answer, "something outside xchat", "outside")

    def _about_key(self, rng: Random) -> Exchange:
        action, question, answer = keys.key_exchange(rng, self.facts)
        if action is None:
            return Exchange(typed(rng, question, soup=False), answer, "a key that does nothing", "free key")
        return Exchange(_said(rng, question), answer, f"a key or command: {action.label.lower()}", action)

    def _on_topic(self, rng: Random, topics: tuple[Topic, ...]) -> Exchange:
        topic = rng.choices(topics, [topic.weight for topic in topics])[0]
        slots = {"term": topic.terms, "person": PERSONS}
        if topic.terms and rng.random() < BY_TERM:
            question = expand(rng.choice(TERM_QUESTIONS), rng, slots)
        else:
            question = expand(rng.choice(self.questions(topic)), rng, slots)
        return self._about(rng, topic, question)

    def _about(self, rng: Random, topic: Topic, question: str) -> Exchange:
        subject = topic.id.replace("-", " ")
        return Exchange(
            _said(rng, question, soup=topic not in SMALLTALK),
            expand(rng.choice(topic.say), rng, self.slots),
            subject,
            topic,
        )

    def _follow_up(self, rng: Random, last: Exchange) -> Exchange:
        kind = rng.choice(tuple(FOLLOW_UPS))
        if kind == "command" and not isinstance(last.subject, ActionFact) and rng.random() < 0.8:
            kind = rng.choice(("why", "short", "more"))
        question = _said(rng, rng.choice(FOLLOW_UPS[kind] + asked("follow-ups").get(kind, ())), soup=False)
        return Exchange(question, self._follow_up_answer(rng, last, kind), last.about, last.subject)

    def _follow_up_answer(self, rng: Random, last: Exchange, kind: str) -> str:
        if kind == "again" and len(last.answer) < 700:
            return last.answer
        subject = last.subject
        answer: str | None = None
        if isinstance(subject, ActionFact):
            answer = keys.action_follow_up(rng, subject, kind)
        elif isinstance(subject, Topic):
            texts = {"why": subject.why, "short": subject.short, "example": subject.example, "more": subject.more}.get(kind, ())
            answer = expand(rng.choice(texts), rng, self.slots) if texts else None
        elif subject == "outside" and kind in OUTSIDE_FOLLOW_UP:
            answer = expand(rng.choice(OUTSIDE_FOLLOW_UP[kind]), rng, self.slots)
        elif subject == "story" and kind in {"short", "more", "again"}:
            answer = (
                stories.story(rng, long=False)[1]
                if kind == "more"
                else "In short: somebody went out to look, somebody helped, and all came home. The end."
            )
        if answer is None:
            if kind == "short":
                return last.answer.split(". ")[0].split("\n")[0].rstrip(".:") + "."
            answer = expand(rng.choice(NO_FOLLOW_UP.get(kind, NO_FOLLOW_UP["more"])), rng, self.slots)
        return answer


def _said(rng: Random, question: str, *, soup: bool = True) -> str:
    """The question as somebody words and types it."""
    return typed(rng, reworded(rng, question) if rng.random() < REWORDED else question, soup=soup)


def _told(rng: Random, told: tuple[str, str], kind: str) -> Exchange:
    """A game, list or story with its request."""
    question, answer = told
    return Exchange(typed(rng, question, soup=False), answer, f"a {kind}", kind)


def _thought(rng: Random, exchange: Exchange) -> str:
    return expand(
        "{The question is about|They ask about|This is about} $about. {I will answer plainly.|A short answer will do.|I know what to say.|Let me say what I know.}",
        rng,
        {"about": exchange.about},
    )
