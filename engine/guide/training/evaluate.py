"""Asks a GGUF every held-out question, at temperature 0 and 0.8, and says how many answers are right, end, and do not loop.

Development only: `python -m engine.guide.training.evaluate FILE… [--failures]`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guide.training.corpus.facts import load_facts
from engine.guide.training.heldout import FOLLOW_UPS, GAMES, IN_SCOPE, KEYS, OUTSIDE, PROGRAM, SMALL_TALK, STORIES, TRADE, Question
from engine.guide.training.speaker import Answer, Speaker

LONGEST = 400
"""Tokens that no answer may exceed unless a story was asked for."""
WARM = 0.8
_LOOP_WORDS, _LOOP_TIMES = 6, 3
SECTIONS: Mapping[str, Sequence[Question]] = {
    "keys and commands": KEYS,
    "the program": PROGRAM,
    "the trade": TRADE,
    "small talk": SMALL_TALK,
    "follow-ups": FOLLOW_UPS,
    "games": GAMES,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question, what was said, and how it was judged."""

    question: Question
    answer: Answer
    right: bool

    @property
    def looped(self) -> bool:
        """Whether the same six words come three times."""
        return loops(self.answer.text)


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes of one file, and the stories."""

    name: str
    greedy: tuple[Outcome, ...]
    warm: tuple[Outcome, ...]
    stories: tuple[Answer, ...]

    def right_share(self, questions: Sequence[Question], *, warm: bool = False) -> float:
        """The share of right answers among these questions."""
        outcomes = [outcome for outcome in (self.warm if warm else self.greedy) if outcome.question in questions]
        return sum(outcome.right for outcome in outcomes) / len(outcomes)

    @property
    def longest(self) -> int:
        """Tokens of the longest answer to a question that was no story."""
        return max(outcome.answer.tokens for outcome in self.greedy + self.warm if outcome.question not in GAMES)

    @property
    def ended(self) -> float:
        """The share of answers, stories included, that ended by themselves."""
        answers = [outcome.answer for outcome in self.greedy + self.warm] + list(self.stories)
        return sum(answer.ended_itself for answer in answers) / len(answers)

    @property
    def looped(self) -> int:
        """Answers and stories with a loop."""
        return sum(outcome.looped for outcome in self.greedy + self.warm) + sum(loops(story.text) for story in self.stories)


def loops(text: str) -> bool:
    """Whether a run of six words comes three times or more; table rows and lists of single letters don't count."""
    words = re.findall(r"[a-z']+", text.lower())
    runs = Counter(tuple(words[start : start + _LOOP_WORDS]) for start in range(len(words) - _LOOP_WORDS + 1))
    return any(times >= _LOOP_TIMES for times in runs.values())


def filled(pattern: str, slots: Mapping[str, str]) -> str:
    """The criterion with the registry's keys and commands in place."""
    return re.sub(r"\$\{([^}]+)\}", lambda match: re.escape(slots[match[1]]), pattern)


def judge(question: Question, text: str, slots: Mapping[str, str]) -> bool:
    """Whether the answer says all it must."""
    return all(re.search(filled(pattern, slots), text, re.IGNORECASE) for pattern in question.must)


def evaluate(path: Path) -> Report:
    """Ask everything."""
    slots = load_facts().slots()
    with Speaker(path) as speaker:

        def outcome(question: Question, temperature: float) -> Outcome:
            said: list[str] = []
            for text in question.said:
                said.append(text)
                answer = speaker.ask(*said, temperature=temperature)
                said.append(answer.text)
            return Outcome(question, answer, judge(question, answer.text, slots))

        questions = IN_SCOPE + OUTSIDE
        return Report(
            path.name,
            tuple(outcome(question, 0.0) for question in questions),
            tuple(outcome(question, WARM) for question in questions),
            tuple(speaker.ask(text, temperature=temperature) for text in STORIES for temperature in (0.0, WARM)),
        )


def table(reports: Sequence[Report]) -> str:
    """The reports as a Markdown table, one column for each file."""
    rows = [
        (f"{name} ({len(questions)})", [f"{report.right_share(questions):.0%}" for report in reports])
        for name, questions in SECTIONS.items()
    ]
    rows += [
        (f"**in scope, right** ({len(IN_SCOPE)})", [f"**{report.right_share(IN_SCOPE):.1%}**" for report in reports]),
        ("the same at temperature 0.8", [f"{report.right_share(IN_SCOPE, warm=True):.1%}" for report in reports]),
        (f"**out of scope, deflected** ({len(OUTSIDE)})", [f"**{report.right_share(OUTSIDE):.1%}**" for report in reports]),
        ("the same at temperature 0.8", [f"{report.right_share(OUTSIDE, warm=True):.1%}" for report in reports]),
        ("longest answer, tokens (no story)", [str(report.longest) for report in reports]),
        ("answers that end by themselves", [f"{report.ended:.1%}" for report in reports]),
        ("answers with a loop", [str(report.looped) for report in reports]),
        (
            "length of long stories, tokens",
            [f"{min(s.tokens for s in report.stories)} to {max(s.tokens for s in report.stories)}" for report in reports],
        ),
    ]
    head = "| | " + " | ".join(report.name.removeprefix("xchat-guide-").removesuffix(".gguf") for report in reports) + " |"
    lines = [head, "| --- |" + " --- |" * len(reports)]
    return "\n".join(lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows]) + "\n"


def main() -> int:
    """Evaluate the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--failures", action="store_true", help="print each wrong answer at temperature 0")
    options = parser.parse_args()
    reports = []
    for path in options.files:
        report = evaluate(path)
        reports.append(report)
        if options.failures:
            for outcome in report.greedy:
                if not outcome.right or outcome.looped or not outcome.answer.ended_itself:
                    sys.stdout.write(
                        f"{' / '.join(outcome.question.said)}\n  must {outcome.question.must}\n  said {outcome.answer.text!r}\n"
                    )
    sys.stdout.write(table(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
