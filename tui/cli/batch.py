"""`xchat batch`: answer a file of prompts in parallel."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import msgspec

from engine.backend import EngineInfo
from engine.batch.lines import Form
from engine.batch.results import Results, partial_of
from engine.batch.runner import Outcome, Runner
from engine.batch.source import BatchSource
from engine.batch.summary import Summary, error_result, result_of
from engine.clock import NS_PER_S, now_ns, wall_ms
from engine.config import load_config
from engine.errors import UsageError
from engine.guide import builtin
from engine.lab.compute_thread import result_of as wait_for
from engine.llama.backend import LlamaBackend
from engine.llama.redirect import redirect_native_output
from engine.model_ref import short_name
from engine.paths import log_path
from engine.session.open import first_model
from engine.text import one_line, printable
from tui.cli.output import guarded, write_sequence
from tui.cli.preset_flags import add_preset_flags, preset_of
from tui.text.wording import count

WIDTH = 16
"""Parallel answers where the preset leaves that open: K-quants gain only from tiles of 16 on."""
STREAM_BATCH = 64
EXAMPLES = """\
examples:
  xchat batch prompts.txt                    one prompt per line; results in prompts.results.jsonl
  xchat batch requests.jsonl -o out.jsonl    OpenAI's Batch format, or {"prompt": "..."} and {"messages": [...]}
  xchat batch requests.jsonl --parallel 8 -n 200 --temp 0
Run the same command again to resume an interrupted batch; no line is answered twice.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `batch` to the command line."""
    parser = subparsers.add_parser(
        "batch",
        help="answer a file of prompts in parallel",
        description="Answer a file of prompts in parallel: OpenAI's Batch JSONL, plain JSONL, or one prompt per line.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the prompts")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, help="the results (FILE.results.jsonl)")
    parser.add_argument("-m", "--model", metavar="MODEL", help="a GGUF file, or `builtin`")
    parser.add_argument("--format", choices=list(map(str, Form)), default=str(Form.AUTO), help="format of FILE (auto)")
    parser.add_argument("--as-they-come", action="store_true", help="write results as they finish, not in the order of the lines")
    parser.add_argument("--retries", type=int, default=1, metavar="N", help="retries of a line when the engine fails (1)")
    add_preset_flags(parser)
    parser.set_defaults(run=run, quiet=False)


def run(options: argparse.Namespace) -> int:
    """Answer the file; returns the exit code: 1 when a line failed, 130 when interrupted."""
    if options.retries < 0:
        raise UsageError("--retries can't be negative")
    config = load_config()
    preset = msgspec.structs.replace(preset_of(options, config), stream_batch=STREAM_BATCH)
    source = BatchSource(options.file, Form(options.format), preset.system)
    output = options.output or options.file.with_name(f"{options.file.stem}.results.jsonl")
    if options.file.resolve() in {output.resolve(), partial_of(output).resolve()}:
        raise UsageError("The results would replace the prompts", "", "Use --output for another name.")
    ref = first_model(None, config, preset)
    real = redirect_native_output(log_path())
    sys.stdout, sys.stderr = guarded(real.stdout), guarded(real.stderr)
    with Results(output, source.numbers) as results, _engine() as backend:
        done = results.done
        for bad in source.bad:
            if bad.id not in done:
                results.write(bad.id, error_result(bad.id, bad.custom_id, bad.error))
            sys.stderr.write(f"line {bad.number}: {one_line(str(bad.error))}\n")
        progress = Progress(len(source.entries), sum(entry.id in done for entry in source.entries))
        summary, began = Summary(), now_ns()
        if progress.done < progress.whole:
            loading = backend.load(ref, preset, lambda _event: None, force=options.force)
            _loaded(loading, backend)
            began = now_ns()
            runner = Runner(backend, preset, retries=options.retries)
            model = one_line(printable(short_name(ref)))

            def keep(outcome: Outcome) -> None:
                again = outcome.error is not None and not outcome.refused
                results.write(outcome.line.id, result_of(outcome, model, wall_ms() // 1000), again=again)
                summary.add(outcome)
                progress.show(1, runner.tokens)

            try:
                runner.run(source.lines(done), keep, lambda: progress.show(0, runner.tokens))
            except KeyboardInterrupt:
                progress.clear()
                sys.stderr.write("\n".join(summary.lines(now_ns() - began)) + "\nInterrupted. Run the same command again to resume.\n")
                return 130
        progress.clear()
        results.finish(in_order=not options.as_they_come)
        skipped = progress.whole - summary.answered - summary.failed
        if skipped:
            sys.stderr.write(f"{skipped:,} already answered\n")
        if source.bad:
            sys.stderr.write(f"{count(len(source.bad), 'line')} without an answer: see above\n")
        sys.stderr.write("\n".join(summary.lines(now_ns() - began)) + "\n")
        sys.stdout.write("" if options.quiet else f"{printable(str(output))}\n")
    return 1 if summary.failed or source.bad else 0


@contextlib.contextmanager
def _engine() -> Iterator[LlamaBackend]:
    """Open the engine for WIDTH parallel answers; SIGTERM ends the run as Ctrl+C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    backend = LlamaBackend(parallel=WIDTH, file_of=builtin.file_of, trusted=builtin.is_ours)
    try:
        yield backend
    finally:
        backend.close()
        signal.signal(signal.SIGTERM, before)


def _loaded(loading: Future[EngineInfo], backend: LlamaBackend) -> EngineInfo:
    try:
        return wait_for(loading)
    except KeyboardInterrupt:
        backend.cancel_load()
        raise


class Progress:
    """The progress line of a batch, on a terminal."""

    def __init__(self, whole: int, done: int) -> None:
        """`done`: lines of `whole` that are already answered."""
        self.whole = whole
        self.done = self._before = done
        self._began = self._shown = now_ns()

    def show(self, finished: int, tokens: int) -> None:
        """Count finished lines, and update the line at most twice a second; `tokens`: generated so far."""
        self.done += finished
        now = now_ns()
        if now - self._shown < NS_PER_S // 2 or not sys.stderr.isatty():
            return
        self._shown = now
        seconds = (now - self._began) / NS_PER_S
        fresh = self.done - self._before
        eta = f"ETA {clock(seconds / fresh * (self.whole - self.done))}" if fresh else "ETA unknown"
        share = self.done / self.whole
        write_sequence("\r\x1b[K", sys.stderr)
        sys.stderr.write(
            f"[{'#' * round(share * 24):<24}] {share:4.0%}  {self.done:,} of {self.whole:,}  {tokens / seconds:,.1f} tokens/s  {eta}"
        )
        sys.stderr.flush()

    def clear(self) -> None:
        """Clear the line."""
        write_sequence("\r\x1b[K", sys.stderr)
        sys.stderr.flush()


def clock(seconds: float) -> str:
    """Format a duration as 1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
