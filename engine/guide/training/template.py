"""How the guide is spoken to: its chat template, and what becomes of a question on the way in.

The guide is uncased: its template writes questions in small letters and begins them with a space, so that a word is the same token
wherever it stands and however it is typed. A model of this size has no room to learn every word four times.
"""

from __future__ import annotations

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'assistant' and '</think>' in message.content -%}"
    "{{- '<|im_start|>assistant\\n' + message.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' -}}"
    "{%- elif message.role == 'user' -%}"
    "{{- '<|im_start|>user\\n ' + message.content.replace('\u2019', \"'\").lower().strip() + '<|im_end|>\\n' -}}"
    "{%- else -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{- '<|im_start|>assistant\\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking -%}{{- '<think>\\n' -}}{%- endif -%}"
    "{%- endif -%}"
)
"""ChatML. Thinking of earlier turns is left out; `enable_thinking` opens a thinking block."""


def heard(question: str) -> str:
    """A question as the template writes it."""
    return " " + question.replace("\u2019", "'").lower().strip()
