"""The processes that train together, each on a core of its own with batches of its own.

Development only. Two processes with one thread each learn from more tokens a second than one process with two threads: the network's
products are too small to be worth dividing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Peers:
    """This process among them."""

    rank: int = 0
    count: int = 1

    @classmethod
    def met(cls, rank: int, count: int, meeting: Path) -> Peers:
        """Meet the others through a file that nobody else knows; alone, there is nobody to wait for."""
        if count > 1:
            distributed.init_process_group("gloo", init_method=meeting.absolute().as_uri(), rank=rank, world_size=count)
        return cls(rank, count)

    def part(self) -> None:
        """Leave the others, when all is done."""
        if self.count > 1:
            distributed.destroy_process_group()

    def averaged(self, values: Tensor) -> Tensor:
        """The mean of everybody's values, in place."""
        if self.count > 1:
            distributed.all_reduce(values)
            values /= self.count
        return values

    def share(self, stack: Tensor) -> Tensor:
        """What this process works on: every so many-th of the stack, whose length is a multiple of their count."""
        return stack[self.rank :: self.count]

    def gathered(self, share: Tensor) -> Tensor:
        """The whole stack again, from everybody's share."""
        if self.count == 1:
            return share
        shares = [torch.empty_like(share) for _ in range(self.count)]
        distributed.all_gather(shares, share.contiguous())
        return torch.stack(shares, 1).flatten(0, 1)


ALONE = Peers()
"""One process that trains by itself."""


class Gradients:
    """The gradients of all weights in one buffer, so that they are averaged and cleared in one go."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._buffer = torch.zeros(sum(weight.numel() for weight in weights))
        start = 0
        for weight in weights:
            weight.grad = self._buffer[start : start + weight.numel()].view_as(weight)
            start += weight.numel()

    def average(self, peers: Peers) -> None:
        """Take the mean of everybody's gradients."""
        peers.averaged(self._buffer)

    def clear(self) -> None:
        """Begin anew."""
        self._buffer.zero_()
