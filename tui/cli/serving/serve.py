"""`xchat serve`: serve the model over HTTP to editors, scripts and other people."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from engine.config import Config, load_config
from engine.errors import ModelError, UsageError, XchatError
from engine.guide import builtin
from engine.host.service import notify, passed_socket
from engine.lab.compute_thread import result_of
from engine.llama.backend import LlamaBackend
from engine.llama.redirect import redirect_native_output
from engine.model_ref import REMOTE, ModelRef, RemoteModel
from engine.models.references import looks_like_path
from engine.paths import database_path, log_path
from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset
from engine.serving.beside import ServePlan
from engine.serving.guard import guard_of, read_keys
from engine.serving.served import Options
from engine.serving.server import HOST, PORT, Address, LogTo, Server, address_of, share_the_interpreter
from engine.session.model_finder import HUB_PREFIX
from engine.session.open import first_model, model_finder
from engine.store.sqlite.pragmas import Profile
from engine.store.writer import Store
from tui.cli import screen
from tui.cli.output import guarded
from tui.cli.preset_flags import add_preset_flags, preset_of

WIDTH = 8
"""Parallel answers where the preset sets none."""
KEY_VARIABLE = "XCHAT_API_KEY"
_STEP_S = 0.5
EXAMPLES = """\
examples:
  xchat serve                                  the model used last, on http://127.0.0.1:8080
  xchat serve qwen3-4b-q4_k_m.gguf --port 9000 --parallel 4 --n-ctx 16384
  xchat serve --screen                         with its requests on the screen, and a chat of your own beside them
  xchat serve --host 0.0.0.0 --api-key-file keys.txt
  curl localhost:8080/v1/chat/completions -d '{"messages": [{"role": "user", "content": "Hello"}]}'
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the command line."""
    parser = subparsers.add_parser(
        "serve",
        help="serve the model over HTTP: the APIs of OpenAI, Anthropic, Ollama and llama-server",
        description="Serve the model over HTTP: the APIs of OpenAI, Anthropic, Ollama and llama-server. Ctrl+C ends it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a GGUF file, or `builtin`")
    parser.add_argument("--host", default=HOST, metavar="H", help="address to listen on (127.0.0.1); any other requires an API key")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help="port (8080); 0 chooses a free one")
    parser.add_argument("--unix-socket", type=Path, metavar="PATH", help="listen on this Unix socket instead")
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help=f"file of API keys, one per line; {KEY_VARIABLE} adds one")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="additional name of this host to accept; may be repeated"
    )
    parser.add_argument(
        "--cors-origins", default="", metavar="O", help="allowed origins of web pages, comma-separated: URLs, localhost, or *"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate for HTTPS (PEM)")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="private key of the certificate (PEM)")
    parser.add_argument("--alias", default="", metavar="NAMES", help="model names to report to clients, comma-separated")
    parser.add_argument("--allow-switch", action="store_true", help="load the preset, model or quant that a request names as its model")
    parser.add_argument("--tags", default="", metavar="WORDS", help="tags of the model in the list of models, comma-separated")
    parser.add_argument("--verbose", action="store_true", help="add prompt and settings to the answers of OpenAI's completions")
    parser.add_argument("--screen", action="store_true", help="open the chat, and show the requests and the panel in it")
    parser.add_argument("--no-log", action="store_true", help="do not log answers as turns of a session")
    parser.add_argument("--log-texts", action="store_true", help="log the texts too, not only the figures")
    add_preset_flags(parser)
    parser.set_defaults(run=run, resume=None, theme=None, no_mouse=False, low_bandwidth=False, tmux=False)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal; return the exit code."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise UsageError("--tls-cert and --tls-key must be given together")
    keys = read_keys(options.api_key_file) if options.api_key_file else ()
    if key := os.environ.get(KEY_VARIABLE, "").strip():
        keys += (key,)
    passed = passed_socket()
    address = address_of(passed) if passed is not None else Address(options.host, options.port, options.unix_socket)
    address = replace(address, certificate=options.tls_cert, key=options.tls_key)
    guard = guard_of(address.host if address.unix is None else "localhost", keys, options.allow_host, _words(options.cors_origins))
    serve_options = Options(_words(options.alias), _words(options.tags), options.verbose)
    if options.allow_switch and (options.screen or options.alias):
        raise UsageError("--allow-switch goes neither with --screen nor with --alias")
    if options.screen:
        plan = ServePlan(address, guard, serve_options, not options.no_log, options.log_texts)
        return screen.run(options, plan, WIDTH)
    config = load_config()
    preset = msgspec.structs.replace(preset_of(options, config), stream_batch=1)
    open_store = partial(Store.open, database_path(), Profile.of(config.database.profile, config.database.pragmas))
    log = None if options.no_log else LogTo(open_store, options.log_texts, _report)
    ref = first_model(None, config, preset)
    real = redirect_native_output(log_path())
    sys.stdout, sys.stderr = guarded(real.stdout), guarded(real.stderr)
    share_the_interpreter()
    find = partial(_named, config) if options.allow_switch else None
    backend = LlamaBackend(parallel=WIDTH, file_of=builtin.file_of, trusted=builtin.is_ours)
    with contextlib.closing(backend), _signals() as asked:
        server = Server(backend, preset, guard, address, options=serve_options, log=log, find=find)
        try:
            info = result_of(backend.load(ref, preset, lambda _event: None, force=options.force), asked.is_set)
            sys.stdout.write(f"{server.served.name} on {server.url}, {info.parallel} parallel answers, n_ctx {info.n_ctx:,}\n")
            sys.stdout.flush()
            notify("READY=1", f"STATUS={server.served.name} on {server.url}")
            while not asked.wait(_STEP_S) and not server.ended:
                if backend.dead is not None:
                    raise backend.dead
            asked.clear()
            notify("STOPPING=1")
            server.stop()
            sys.stderr.write("Stopping after the answers in progress; press Ctrl+C again to abort them.\n")
            while not server.ended:
                if asked.is_set():
                    server.stop(0.0)
                server.join(_STEP_S)
        finally:
            server.stop(0.0)
            server.join()
    return 0


def _named(config: Config, name: str, used: ModelRef, preset: Preset) -> tuple[ModelRef, Preset] | None:
    """Return the preset, or the local model or quant, that a request names; None for any other name or a path."""
    if looks_like_path(name) or ":/" in name or name.startswith((REMOTE, HUB_PREFIX)):
        return None
    known = PresetFolder().load().presets.get(name)
    family, _, quant = name.partition(":")
    wanted = [known] if known else [msgspec.structs.replace(preset, model=family, quant=quant or None)]
    if known is None and not quant:
        wanted.append(msgspec.structs.replace(preset, model=None, quant=name.upper()))
    for each in wanted:
        asked = msgspec.structs.replace(each, stream_batch=1)
        with contextlib.suppress(ModelError):
            ref = model_finder(config).find(asked, used)
            if ref is not None and not isinstance(ref, RemoteModel):
                return ref, asked
    return None


def _words(text: str) -> tuple[str, ...]:
    return tuple(sorted({word.strip() for word in text.split(",")} - {""}))


def _report(_on: bool, error: XchatError | None) -> None:
    """Report an error of the log of answers."""
    if error is not None:
        sys.stderr.write(f"xchat: {error}\n")


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT, SIGTERM and SIGHUP set, except ignored ones."""
    asked = threading.Event()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, lambda *_: asked.set())
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
