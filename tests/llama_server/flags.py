"""Stands for llama-server in those tests: `xchat serve` with its flags in place of llama-server's.

A model to be downloaded is the stand-in; a chat template is written into a copy of it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.llama_server.model import make

_TEMPLATES = {
    "chatml": ("<|im_start|>{}\\n", "<|im_end|>\\n", "assistant"),
    "llama3": ("<|start_header_id|>{}<|end_header_id|>\\n\\n", "<|eot_id|>", "assistant"),
    "command-r": ("<|START_OF_TURN_TOKEN|><|{}_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "CHATBOT"),
}
"""The formats that llama-server knows by name, as far as the tests use them: what stands before and after a message, and who answers."""
_SAME = {
    "--port": "--port",
    "--temp": "--temp",
    "--seed": "--seed",
    "--n-predict": "-n",
    "--alias": "--alias",
    "--tags": "--tags",
    "--parallel": "--parallel",
    "-ctk": "--type-k",
    "-ctv": "--type-v",
    "-fa": "--flash-attn",
    "--reasoning": "--thinking",
    "--host": "--host",
}
_WITH_VALUE = frozenset(
    {
        "--hf-repo",
        "--hf-file",
        "--model",
        "--model-url",
        "--mmproj-url",
        "--models-dir",
        "--models-max",
        "--models-preset",
        "--model-draft",
        "--cors-origins",
        "--batch-size",
        "--ubatch-size",
        "--threads",
        "--n-gpu-layers",
        "--pooling",
        "--ctx-size",
        "--slot-save-path",
        "--lora",
        "--api-key",
        "--reasoning-format",
        "--chat-template",
        "--chat-template-file",
        "--media-path",
        "--sleep-idle-seconds",
        "--cache-ram",
        "--tools",
        "--tools-runtime",
        *_SAME,
    }
)


def _written(before: str, after: str, answerer: str) -> str:
    """A format as a template."""
    opened = [f"'{part}'" for part in before.split("{}")]
    role = f"('{answerer}' if m.role == 'assistant' else m.role{' | upper' if answerer.isupper() else ''})"
    messages = f"{{% for m in messages %}}{{{{ {opened[0]} + {role} + {opened[1]} + m.content + '{after}' }}}}{{% endfor %}}"
    return messages + f"{{% if add_generation_prompt %}}{{{{ '{before.format(answerer)}' }}}}{{% endif %}}"


def translated(words: Sequence[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    """The arguments of xchat, and what is added to the environment; files are written into `folder`."""
    given: dict[str, str] = {}
    left = iter(words)
    for word in left:
        given[word] = next(left) if word in _WITH_VALUE or word.startswith("--spec") else ""
    named = given.get("--chat-template", "chatml")
    template = _written(*_TEMPLATES[named]) if named in _TEMPLATES else named
    if "--chat-template-file" in given:
        template = Path(given["--chat-template-file"]).read_text("utf-8")
    model = folder / f"{hashlib.sha256(template.encode()).hexdigest()[:16]}.gguf"
    if not model.exists():
        make(model.with_suffix(f".{os.getpid()}"), template).rename(model)
    out = ["serve", str(model), "--no-log", "--threads", "1", "--threads-batch", "1"]
    for name, value in given.items():
        if name in _SAME and value != "-1":
            out += [_SAME[name], value]
    answers = int(given.get("--parallel", "1"))
    n_ctx = int(given.get("--ctx-size", "4096"))
    share = n_ctx if "--kv-unified" in given else n_ctx // answers
    out += ["--ctx", str(max(256, share)), "--n-batch", str(max(32, int(given.get("--batch-size", "512"))))]
    out += ["--cors-origins", given.get("--cors-origins", "localhost" if "--tools" in given else "*")]
    if "--verbose" in given:
        out.append("--verbose")
    return out, {"XCHAT_API_KEY": given["--api-key"]} if "--api-key" in given else {}


def main() -> None:
    """Replace this process by xchat."""
    folder = Path(os.environ["XCHAT_STAND_INS"])
    arguments, environment = translated(sys.argv[1:], folder)
    os.execve(sys.executable, [sys.executable, "-m", "tui.cli.main", *arguments], os.environ | environment)


if __name__ == "__main__":
    main()
