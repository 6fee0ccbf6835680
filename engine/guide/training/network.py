"""The guide's network in PyTorch: a small transformer of Qwen3's shape, so that llama.cpp runs it as `qwen3`.

Development only. Every row length is a multiple of 256, so that every K-quant can be made from it; embedding and output are tied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.guide.training.shape import Shape


class RMSNorm(nn.Module):
    """Root-mean-square norm with a gain, computed in 32 bits."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return functional.rms_norm(x.float(), (x.shape[-1],), self.weight, self.epsilon)


class Block(nn.Module):
    """Attention and feed-forward, each with a norm before and a shortcut around."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        inner, kv = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
        self.attn_norm = RMSNorm(shape.width, shape.epsilon)
        self.attn_q = nn.Linear(shape.width, inner, bias=False)
        self.attn_k = nn.Linear(shape.width, kv, bias=False)
        self.attn_v = nn.Linear(shape.width, kv, bias=False)
        self.attn_q_norm = RMSNorm(shape.head_size, shape.epsilon)
        self.attn_k_norm = RMSNorm(shape.head_size, shape.epsilon)
        self.attn_output = nn.Linear(inner, shape.width, bias=False)
        self.ffn_norm = RMSNorm(shape.width, shape.epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Pass a batch (sequences, positions, width) through."""
        shape = self.shape
        count, length, _ = x.shape
        h = self.attn_norm(x)
        q = self.attn_q(h).view(count, length, shape.heads, shape.head_size)
        k = self.attn_k(h).view(count, length, shape.kv_heads, shape.head_size)
        v = self.attn_v(h).view(count, length, shape.kv_heads, shape.head_size).transpose(1, 2)
        q = rotate(self.attn_q_norm(q), cos, sin).transpose(1, 2)
        k = rotate(self.attn_k_norm(k), cos, sin).transpose(1, 2)
        groups = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        x = x + self.attn_output(y.transpose(1, 2).reshape(count, length, -1))
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding as llama.cpp's `qwen3` does it: the halves of a head rotate against each other."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Network(nn.Module):
    """The whole model, without sampling."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = RMSNorm(shape.width, shape.epsilon)
        half = shape.head_size // 2
        frequencies = shape.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
        angles = torch.arange(shape.context, dtype=torch.float64)[:, None] * frequencies
        self.register_buffer("cos", angles.cos().float()[:, None, :], persistent=False)
        self.register_buffer("sin", angles.sin().float()[:, None, :], persistent=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                last = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5 if last else 0.02 if "embd" in name else shape.width**-0.5)

    def states(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What a batch of sequences (sequences, positions) is before the last layer, and the last layer's normed output."""
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = before = self.token_embd(tokens)
        for block in self.blk:
            before, x = x, block(x, cos, sin)
        return before, self.output_norm(x)

    def hidden(self, tokens: Tensor) -> Tensor:
        """The last layer's normed output."""
        return self.states(tokens)[1]

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of all tokens, with the embedding as output matrix."""
        return functional.linear(hidden, self.token_embd.weight)
