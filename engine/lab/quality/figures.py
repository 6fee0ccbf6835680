"""Computes perplexity and KL divergence from logits, as llama-perplexity does; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

_Z: Final = 1.959964
"""The 97.5 % quantile of the normal distribution."""
FEWEST_WINDOWS: Final = 4
"""Fewest windows for an interval: with fewer it would be wider than the figure."""

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its uncertainty."""

    value: float
    error: float
    """Standard error as llama-perplexity prints it, assuming independent tokens."""
    low: float | None = None
    """Lower end of the 95 % interval over windows, since neighbouring tokens depend on each other; None with too few windows."""
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of one arm over all measured windows."""

    label: str
    tokens: int
    """Tokens that were scored."""
    windows: int
    ppl: Estimate
    against: Against | None
    """None for the base itself."""

    @property
    def kld(self) -> float:
        """Mean KL divergence from the base, in nats; 0 for the base itself."""
        return 0.0 if self.against is None else self.against.kld.value


@dataclass(frozen=True, slots=True)
class Against:
    """An arm compared with the base, token by token."""

    ln_ppl_ratio: Estimate
    ppl_difference: float
    """PPL of the arm minus PPL of the base."""
    ppl_ratio: Estimate
    kld: Estimate
    """KL divergence of the arm's distribution from the base's, mean, in nats."""
    kld_median: float
    kld_p99: float
    kld_max: float
    same_top: Estimate
    """Share of tokens whose most probable token is the same."""
    rms_dp: float
    """Root mean square of the difference in the probability of the text's own next token."""


def log_sum_exp(rows: Rows) -> Rows:
    """Return the logarithm of the sum of exponentials of each row."""
    top = rows.max(axis=1)
    sums = np.exp(rows - top[:, None]).sum(axis=1, dtype=np.float64)
    return np.asarray(top + np.log(sums), np.float32)


@dataclass(slots=True)
class Scores:
    """The scores of an arm, one array for each block of tokens."""

    nll: list[NDArray[np.float64]] = field(default_factory=list)
    """Negative logarithm of the probability of the text's next token."""
    kld: list[NDArray[np.float64]] = field(default_factory=list)
    same: list[NDArray[np.bool_]] = field(default_factory=list)

    def keep(self, blocks: int) -> None:
        """Drop all but the first blocks: the others belong to an unfinished window."""
        for series in (self.nll, self.kld, self.same):
            del series[blocks:]


class Block:
    """The base's distribution over one block of tokens, to compare arms with."""

    def __init__(self, rows: Rows, following: Sequence[int]) -> None:
        """`rows` are logits, `following` the tokens of the text after each."""
        self._following = np.asarray(following)
        self._log_p = rows - log_sum_exp(rows)[:, None]
        self._p = np.exp(self._log_p)
        self._best = rows.argmax(axis=1)

    def score_base(self, scores: Scores) -> None:
        """Add the base's own figures."""
        scores.nll.append(-self._log_p[np.arange(len(self._best)), self._following].astype(np.float64))

    def score(self, rows: Rows, scores: Scores) -> None:
        """Add the figures of an arm with these logits."""
        log_q = rows - log_sum_exp(rows)[:, None]
        scores.nll.append(-log_q[np.arange(len(self._best)), self._following].astype(np.float64))
        np.subtract(self._log_p, log_q, out=log_q)
        log_q *= self._p
        scores.kld.append(log_q.sum(axis=1, dtype=np.float64))
        scores.same.append(rows.argmax(axis=1) == self._best)


def summary(label: str, scores: Scores, windows: int, base: Scores | None = None) -> Quality:
    """Return the figures of an arm over at least one whole window; without `base` it is the base itself."""
    nll = np.concatenate(scores.nll)
    mean = estimate(nll, windows)
    against = None if base is None else _against(mean, nll, np.concatenate(base.nll), scores, windows)
    return Quality(label, len(nll), windows, _exponential(mean), against)


def _against(mean: Estimate, nll: NDArray[np.float64], base: NDArray[np.float64], scores: Scores, windows: int) -> Against:
    kld = np.concatenate(scores.kld)
    ratio = estimate(nll - base, windows)
    dp = np.exp(-nll) - np.exp(-base)
    return Against(
        ln_ppl_ratio=ratio,
        ppl_difference=math.exp(mean.value) - math.exp(float(base.mean())),
        ppl_ratio=_exponential(ratio),
        kld=estimate(kld, windows),
        kld_median=float(np.median(kld)),
        kld_p99=float(np.quantile(kld, 0.99)),
        kld_max=float(kld.max()),
        same_top=estimate(np.concatenate(scores.same).astype(np.float64), windows),
        rms_dp=math.sqrt(float(np.mean(dp * dp))),
    )


def estimate(values: NDArray[np.float64], windows: int) -> Estimate:
    """Estimate the mean of values of equally long windows, in their order."""
    mean = float(values.mean())
    error = float(values.std()) / math.sqrt(max(1, len(values) - 1))
    if windows < FEWEST_WINDOWS:
        return Estimate(mean, error)
    means = values.reshape(windows, -1).mean(axis=1)
    half = _t(windows - 1) * float(means.std(ddof=1)) / math.sqrt(windows)
    return Estimate(mean, error, mean - half, mean + half)


def _exponential(of: Estimate) -> Estimate:
    value = math.exp(of.value)
    ends = (None, None) if of.low is None or of.high is None else (math.exp(of.low), math.exp(of.high))
    return Estimate(value, of.error * value, *ends)


def _t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t; within 1 % from three degrees of freedom on (Cornish and Fisher's expansion)."""
    z, n = _Z, freedom
    return (
        z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2) + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
