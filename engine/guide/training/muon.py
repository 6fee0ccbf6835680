"""Muon: momentum whose matrix is made orthogonal before the step. Learns small transformers from fewer tokens than Adam does.

Development only. Matrices of the same shape are stacked, so that a step costs a few large products instead of many small ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from engine.guide.training.peers import Peers

_COEFFICIENTS = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""Newton-Schulz steps that bring all singular values near 1."""


def orthogonalized(stack: Tensor) -> Tensor:
    """Each matrix of the stack with its singular values moved near 1, in 16 bits."""
    x = stack.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-7)
    for a, b, c in _COEFFICIENTS:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon:
    """Momentum, orthogonalisation, step, with a little weight decay."""

    def __init__(self, matrices: Iterable[Tensor], *, momentum: float = 0.95, weight_decay: float = 0.02) -> None:
        self.groups: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for matrix in matrices:
            self.groups[tuple(matrix.shape)].append(matrix)
        self.velocity = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}
        self.momentum = momentum
        self.weight_decay = weight_decay

    @torch.no_grad()
    def step(self, rate: float, peers: Peers) -> None:
        """One update from the gradients, which are the same everywhere; each process makes its share of the matrices orthogonal."""
        for shape, group in self.groups.items():
            gradient = torch.stack([matrix.grad for matrix in group])
            velocity = self.velocity[shape].lerp_(gradient, 1 - self.momentum)
            share = orthogonalized(peers.share(gradient.lerp(velocity, self.momentum)))
            update = peers.gathered(share).float() * max(1.0, shape[0] / shape[1]) ** 0.5
            for matrix, change in zip(group, update, strict=True):
                matrix.mul_(1 - rate * self.weight_decay).add_(change, alpha=-rate)
