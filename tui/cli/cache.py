"""`xchat cache`: the answers that the setting `result_cache` keeps for reuse."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from engine.clock import wall_ms
from engine.config import load_config
from engine.numbers import byte_size
from engine.store.results import ResultCache, clear_results, results_path
from tui.cli.output import write_json
from tui.text.wording import count, duration

EXAMPLES = """\
examples:
  xchat cache stats
  xchat cache warm prompts.txt --temp 0 -n 200     answer a file of prompts as `xchat batch` does, for the cache only
  xchat ask "Hello" --temp 0 --result-cache on
  xchat cache clear
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `cache` to the command line."""
    parser = subparsers.add_parser("cache", help="the result cache", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, metavar="stats|clear|warm")
    counting = verbs.add_parser("stats", help="answers, size and hit rate")
    counting.add_argument("--json", action="store_true", help="print one object")
    counting.set_defaults(run=stats)
    verbs.add_parser("clear", help="delete all stored answers").set_defaults(run=clear)
    warming = verbs.add_parser("warm", help="store the answers to a file of prompts")
    warming.add_argument("file", metavar="FILE", type=Path, help="the prompts, as for `xchat batch`")
    warming.add_argument("flags", nargs=argparse.REMAINDER, metavar="...", help="flags of `xchat batch`, such as -m MODEL --temp 0")
    warming.set_defaults(run=warm)


def stats(options: argparse.Namespace) -> int:
    """Print the contents and hits of the cache."""
    path, limits = results_path(), load_config().result_cache
    cache = ResultCache(path, most_bytes=limits.size_mb << 20, most_hours=limits.ttl_hours)
    found = cache.stats()
    cache.close()
    if options.json:
        write_json(asdict(found) | {"path": str(path), "hit_rate": found.hit_rate})
        return 0
    rate_text = "no lookups yet" if found.hit_rate is None else f"{found.hits:,} of {count(found.lookups, 'lookup')} ({found.hit_rate:.0%})"
    oldest = "none" if found.oldest_ms is None else f"{duration(wall_ms() - found.oldest_ms)} ago"
    lines = [
        f"file      {path}",
        f"answers   {found.answers:,}",
        f"size      {byte_size(found.bytes)} of {limits.size_mb:,} MB",
        f"oldest    {oldest}; kept for {limits.ttl_hours:g} hours",
        f"found     {rate_text}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def clear(_: argparse.Namespace) -> int:
    """Delete the file of the cache, even a damaged one."""
    sys.stdout.write(f"{byte_size(clear_results(results_path()))} freed\n")
    return 0


def warm(options: argparse.Namespace) -> int:
    """Answer a file of prompts with the cache on, and discard the output."""
    from tui.cli.main import parse

    with tempfile.TemporaryDirectory(prefix="xchat-warm-") as folder:
        words = ["batch", str(options.file), *options.flags, "--result-cache", "on", "--output", str(Path(folder) / "results.jsonl")]
        batch = parse(words)
        batch.quiet = True
        return int(batch.run(batch))
