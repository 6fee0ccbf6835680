# Recipes of the project; `just` lists them. They use .venv when it is there (the README's commands make it), else uv.

export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")

[private]
default:
    @just --list --unsorted

# Start xchat; arguments are passed on
run *ARGS:
    xchat {{ ARGS }}

# Start xchat with Textual's debugging; `just console` in another terminal shows what it logs
dev *ARGS:
    TEXTUAL=devtools,debug xchat {{ ARGS }}

# Show what `just dev` logs (needs the dependency group `console`)
console:
    textual console

# Run the tests; arguments are passed to pytest
test *ARGS:
    pytest {{ ARGS }}

# The inner loop: unit and widget tests on three processes, since they wait as much as they compute
test-fast *ARGS:
    PYTHONDONTWRITEBYTECODE= pytest -n 3 --dist loadfile -m "not slow and not e2e" --ignore tests/e2e --hypothesis-profile fast {{ ARGS }}

# Try 150 wrong model files on the whole engine, 1,000 headers, 200 templates, and 500 texts per property of exports and screens: minutes
fuzz:
    XCHAT_FUZZ=150 pytest tests/engine/llama/test_hostile_files.py tests/engine/models/test_hostile_headers.py tests/engine/chat/test_hostile_templates.py
    pytest --hypothesis-profile long tests/engine/text tests/engine/store/test_export_formats.py tests/tui/cli/test_terminal_output.py tests/tui/transcript/test_completeness.py

# The tests that need a device: SOURCE is the unpacked source of llama-cpp-python, whose Vulkan and RPC backends are built alone (minutes)
devices SOURCE BUILD="/tmp/xchat-vulkan" *CMAKE:
    cmake -G Ninja -S {{ SOURCE }}/vendor/llama.cpp/ggml -B {{ BUILD }} -DCMAKE_BUILD_TYPE=Release -DGGML_BACKEND_DL=ON -DGGML_CPU=OFF -DGGML_VULKAN=ON -DGGML_RPC=ON {{ CMAKE }}
    ninja -C {{ BUILD }} ggml-vulkan ggml-rpc
    GGML_VK_VISIBLE_DEVICES=0 GGML_BACKEND_PATH={{ BUILD }}/bin/libggml-vulkan.so:{{ BUILD }}/bin/libggml-rpc.so pytest -m devices tests/engine/llama

# Rewrite the snapshots of the screens and show what changed; look at it before you commit it
snap *ARGS:
    XCHAT_SNAPSHOTS=write pytest tests/snapshots {{ ARGS }}
    git --no-pager diff --stat tests/snapshots
    git diff tests/snapshots

# Format the code and sort the imports
fmt:
    ruff format .
    ruff check --fix --select I .

# Formatting, lint and import contracts
lint:
    ruff format --check .
    ruff check .
    lint-imports

# Strict types
types:
    mypy

# Run llama.cpp's own server tests against `xchat serve` (half an hour; fetches their source); arguments are passed to pytest instead of the list
llama-server-tests *ARGS:
    python -m tests.llama_server {{ ARGS }}

# Everything the gate checks: lint, types, tests
check: lint types test

# Measurements, as ratios of one run; MODEL is a GGUF, best of a real model's size
bench MODEL *ARGS:
    python -m tests.bench {{ MODEL }} {{ ARGS }}

# Time from `xchat` to the first frame, against a bare Textual program
cold-start *ARGS:
    python -m tests.bench.bench_screen --first-frame {{ ARGS }}

# Record a flamegraph of the program while it answers
profile *ARGS:
    xchat profile record {{ ARGS }}

# Make the README's cast and pictures from the program itself, with a real model's file
shots MODEL:
    python -m tests.cast {{ MODEL }} docs

# Make the built-in model from nothing: corpus, tokenizer, training, evaluation (at most 90 minutes on two cores)
demo-model *ARGS:
    python -m tests.facts > engine/guide/taught.json
    python -m engine.guide.training.make {{ ARGS }}

# Make a release: version, changelog, checks, wheel and sdist tried in clean environments, commit and tag
release VERSION:
    .ci/release {{ VERSION }}
