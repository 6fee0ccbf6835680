"""Writes the trained guide as an F16 GGUF with all its metadata.

Development only.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
from tokenizers import Tokenizer

from engine.guide.training.network import Network
from engine.guide.training.shape import Shape
from engine.guide.training.template import CHAT_TEMPLATE
from engine.guide.training.tokens import END, END_OF_TEXT, PRE_TOKENIZER, SPECIAL, START, THINK, THINK_END

NAME = "xchat guide"
DESCRIPTION = (
    "A tiny guide to xchat and to running language models locally, trained from nothing on dialogues that a program of the "
    "xchat project writes. It knows little else and says so."
)


def load_network(checkpoint: Path) -> Network:
    """The network of a checkpoint, for use."""
    network = Network(Shape())
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    return network.eval()


def export(network: Network, tokenizer: Tokenizer, target: Path) -> None:
    """Write the file; an existing one is replaced at the end."""
    shape = network.shape
    part = target.with_suffix(".part")
    writer = GGUFWriter(part, "qwen3")
    writer.add_type("model")
    writer.add_name(NAME)
    writer.add_basename("xchat-guide")
    writer.add_description(DESCRIPTION)
    writer.add_author("The xchat project")
    writer.add_license("mit")
    writer.add_license_name("MIT License")
    writer.add_languages(["en"])
    writer.add_tags(["chat", "guide", "xchat"])
    writer.add_size_label(f"{shape.parameters / 1e6:.1f}M")
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(2)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    _add_tokenizer(writer, tokenizer)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, weight in network.state_dict().items():
        array = weight.float().numpy()
        if array.ndim == 1:
            writer.add_tensor(name, array.astype(np.float32))
        else:
            writer.add_tensor(name, array.astype(np.float16), raw_dtype=GGMLQuantizationType.F16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(target)


def _add_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    by_id = sorted((number, token) for token, number in tokenizer.get_vocab().items())
    kinds = {token: TokenType.USER_DEFINED if token in {THINK, THINK_END} else TokenType.CONTROL for token in SPECIAL}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list([token for _, token in by_id])
    writer.add_token_types([kinds.get(token, TokenType.NORMAL) for _, token in by_id])
    writer.add_token_merges(_merges(tokenizer))
    writer.add_eos_token_id(tokenizer.token_to_id(END))
    writer.add_eot_token_id(tokenizer.token_to_id(END))
    writer.add_pad_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_bos_token_id(tokenizer.token_to_id(START))
    writer.add_add_bos_token(False)


def _merges(tokenizer: Tokenizer) -> list[str]:
    """The merges as `"a b"`, in the order they were learned."""
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
