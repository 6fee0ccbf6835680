# Recipes of the project; `just` lists them. They use .venv when it is there (the README's commands make it), else uv.

export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")

[private]
default:
    @just --list --unsorted

# Start xchat; arguments are passed on
run *ARGS:
    xchat {{ ARGS }}

# Run the tests; arguments are passed to pytest
test *ARGS:
    pytest {{ ARGS }}

# Formatting, lint and import contracts
lint:
    ruff format --check .
    ruff check .
    lint-imports

# Strict types
types:
    mypy

# Everything the gate checks: lint, types, tests
check: lint types test

# Measurements, as ratios of one run; MODEL is a GGUF, best of a real model's size
bench MODEL *ARGS:
    python -m tests.bench {{ MODEL }} {{ ARGS }}

# Make the README's pictures from the program itself (needs tmux)
shots:
    python -m tests.shots docs/xchat.png --columns 132 --rows 38 --type 'What is the KV cache?' --type '\r' --type '' --type '' --type 'Which quant should I take?' --type '\r' --wait 4 -- xchat --no-log builtin --temp 0

# Make the built-in model from nothing: corpus, tokenizer, training, evaluation (at most 90 minutes on two cores)
demo-model *ARGS:
    python -m tui.cli.facts > engine/guide/training/facts.json
    python -m engine.guide.training.make {{ ARGS }}
