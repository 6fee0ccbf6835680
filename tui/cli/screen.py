"""`xchat` without a subcommand: open the screen."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from engine import child
from engine.config import load_config
from engine.errors import UsageError
from engine.llama.redirect import redirect_native_output
from engine.paths import log_path

if TYPE_CHECKING:
    from engine.config import Config
    from engine.model_ref import ModelRef
    from engine.presets.preset import Preset
    from engine.serving.beside import ServePlan

NEWEST = "newest"
"""The value of `--resume` without a session."""

TMUX_SESSION = "xchat"


def add_arguments(parser: argparse.ArgumentParser, *, preset_flags: bool) -> None:
    """Add the options of the screen; `preset_flags` adds those of presets, which take 20 ms to import."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a GGUF file, or `builtin`; without it, the last one used")
    parser.add_argument(
        "--resume", nargs="?", const=NEWEST, metavar="SESSION", help="resume a session by its number; without one, the newest"
    )
    parser.add_argument("--theme", metavar="NAME", help="a theme of xchat, or of your own themes folder")
    parser.add_argument("--no-log", action="store_true", help="do not save this conversation")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal, for its own text selection")
    parser.add_argument("--low-bandwidth", action="store_true", help="save bandwidth: fewer chart updates, no animation")
    parser.add_argument("--tmux", action="store_true", help="run in a tmux session that survives a lost connection, or attach to it")
    parser.set_defaults(run=run, preset=None, force=False)
    if preset_flags:
        from tui.cli.preset_flags import add_preset_flags

        add_preset_flags(parser)


def run(options: argparse.Namespace, serve: ServePlan | None = None, parallel: int | None = None) -> int:
    """Open the screen; returns its exit code. With `serve` the model is served too, `parallel` answers at once."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("This is not a terminal", "", "Use `xchat ask PROMPT` in scripts and pipes.")
    if options.tmux and "TMUX" not in os.environ:
        enter_tmux()

    from tui.terminal.terminal import prepare_environment

    config = load_config()
    preset = partial(chosen_preset, options, config)
    if names_settings(options, config):
        preset()
    low_bandwidth = options.low_bandwidth or config.low_bandwidth is True
    terminal = prepare_environment(os.environ, low_bandwidth=low_bandwidth)

    from tui.options import AppOptions

    app_options = AppOptions(
        model=partial(model_to_load, preset),
        force=options.force,
        resume=session_number(options.resume),
        theme=options.theme or config.theme,
        mouse=config.mouse and not options.no_mouse,
        low_bandwidth=low_bandwidth,
        keys=config.keys,
        notify=config.notify,
        prometheus_port=config.metrics.prometheus_port,
        serve=serve,
        restart=restart_command(),
    )

    from tui.run import run_screen

    real = redirect_native_output(log_path())
    try:
        return run_screen(app_options, config, terminal, preset=preset, log=not options.no_log, parallel=parallel)
    finally:
        real.restore()


def names_settings(options: argparse.Namespace, config: Config) -> bool:
    """Return whether a preset or a setting is given; it is checked before anything starts."""
    named = (options.preset, config.preset, *(value for name, value in vars(options).items() if name.startswith("preset:")))
    return any(value is not None for value in named)


def chosen_preset(options: argparse.Namespace, config: Config) -> Preset:
    """Return the preset to start with. Raises the errors of `preset_of`."""
    from tui.cli.preset_flags import preset_of

    return preset_of(options, config)


def model_to_load(preset: Callable[[], Preset]) -> ModelRef:
    """Return the model to start with. Called on a thread after the first frame, since the engine's modules load slowly.

    Raises:
        ModelError: The file does not exist, or the built-in model is missing and there is no other.
    """
    from engine.session.open import first_model

    return first_model(None, load_config(), preset())


def session_number(resume: str | None) -> int | None:
    """Return the session of `--resume`: 0 is the newest, None a new one."""
    if resume is None:
        return None
    if resume == NEWEST:
        return 0
    if not resume.isdecimal():
        raise UsageError(f"--resume {resume} is not a session", "sessions have numbers", "`xchat sessions list` shows them.")
    return int(resume)


def restart_command() -> list[str]:
    """Return the command that restarts this program."""
    return child.command("tui.cli.main")


def enter_tmux() -> None:
    """Replace this process by tmux, which runs this command in a session or attaches to the existing one."""
    tmux = shutil.which("tmux")
    if tmux is None:
        raise UsageError("tmux is not installed", "", "Install it, or omit --tmux.")
    command = [*restart_command(), *(argument for argument in sys.argv[1:] if argument != "--tmux")]
    os.execv(tmux, [tmux, "new-session", "-A", "-s", TMUX_SESSION, *command])
