"""Statistics of small numbers: tails of predictive distributions, priors fitted to many subjects, false discoveries.

Everything is a pure function on numpy arrays. scipy is loaded inside the functions: importing this must not cost that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Numbers = float | Floats
    """One number, or one for each subject."""


@dataclass(frozen=True, slots=True)
class Beta:
    """A distribution of shares.

    Attributes:
        hits: Its first parameter: hits that it stands for; one number, or one for each subject.
        misses: Its second parameter: misses that it stands for.
    """

    hits: Numbers
    misses: Numbers

    def given(self, hits: ArrayLike, misses: ArrayLike) -> Beta:
        """Return the distribution after more hits and misses were seen.

        Source: conjugacy; Gelman et al., Bayesian Data Analysis, 3rd edition (2013), section 2.4.
        """
        return Beta(np.asarray(self.hits) + np.asarray(hits), np.asarray(self.misses) + np.asarray(misses))

    def at_least(self, mean: float) -> Beta:
        """Return the distribution with hits added where its mean is smaller than this."""
        return Beta(np.maximum(self.hits, np.asarray(self.misses) * mean / (1 - mean)), self.misses)

    @property
    def mean(self) -> Floats:
        """The mean share."""
        hits = np.asarray(self.hits, float)
        return np.asarray(hits / (hits + np.asarray(self.misses, float)))


@dataclass(frozen=True, slots=True)
class Gamma:
    """A distribution of rates.

    Attributes:
        count: Its shape: events that it stands for; one number, or one for each subject.
        exposure: Its rate: the time in which these would have been seen.
    """

    count: Numbers
    exposure: Numbers

    def given(self, count: ArrayLike, exposure: ArrayLike) -> Gamma:
        """Return the distribution after more events were seen in more time.

        Source: conjugacy; Gelman et al., Bayesian Data Analysis, 3rd edition (2013), section 2.6.
        """
        return Gamma(np.asarray(self.count) + np.asarray(count), np.asarray(self.exposure) + np.asarray(exposure))

    @property
    def mean(self) -> Floats:
        """The mean rate."""
        return np.asarray(np.asarray(self.count, float) / np.asarray(self.exposure, float))


@dataclass(frozen=True, slots=True)
class Moments:
    """What fitting a prior needs to know of many subjects; sums, so that an engine can add them up.

    Each subject has a total and a weight: hits and tries of a share, or events and time of a rate.

    Attributes:
        subjects: How many subjects there are; those of weight 0 do not count.
        weight: The sum of their weights.
        weight_squares: The sum of the squares of their weights.
        total: The sum of their totals.
        total_squares: The sum, over subjects, of the square of the total by the weight.
    """

    subjects: Numbers
    weight: Numbers
    weight_squares: Numbers
    total: Numbers
    total_squares: Numbers

    def without(self, total: ArrayLike, weight: ArrayLike) -> Moments:
        """Return the sums over the other subjects, once for each subject that is given."""
        totals, weights = np.asarray(total, float), np.asarray(weight, float)
        squares = np.divide(totals**2, weights, out=np.zeros_like(weights), where=weights > 0)
        return Moments(
            np.asarray(self.subjects) - (weights > 0),
            np.asarray(self.weight) - weights,
            np.asarray(self.weight_squares) - weights**2,
            np.asarray(self.total) - totals,
            np.asarray(self.total_squares) - squares,
        )


def moments(totals: ArrayLike, weights: ArrayLike) -> Moments:
    """Add up the totals and the weights of subjects."""
    total, weight = np.asarray(totals, float), np.asarray(weights, float)
    total, weight = total[weight > 0], weight[weight > 0]
    return Moments(len(weight), weight.sum(), (weight**2).sum(), total.sum(), (total**2 / weight).sum())


def fit_beta(seen: Moments, *, default: Beta, subjects: float, floor: float, least: float) -> Beta:
    """Fit the distribution of a share over subjects, by the method of moments.

    The default takes part as so many subjects that resemble it. With no subject it is the answer; with many it is
    forgotten.

    Args:
        seen: The hits (total) and tries (weight) of the subjects.
        default: What is assumed of an organization of which nothing is known.
        subjects: How many subjects the default is worth [subjects].
        floor: The least mean share; a smaller one is raised to it [1].
        least: The least correlation within a subject; the most tries that the prior is worth is the inverse of it,
            less one [1].

    Source: J. C. Kleinman, Proportions with Extraneous Variance: Single and Independent Samples, JASA 68 (1973) 46-54.
    """
    total, weight, spare = _pooled(seen)
    default_mean, default_size = default.mean, np.asarray(default.hits) + np.asarray(default.misses)
    mean = np.clip((total + default_mean * subjects) / (weight + subjects), floor, 1 - floor)
    seen_mean = np.divide(total, weight, out=np.zeros_like(weight), where=weight > 0)
    scatter = np.asarray(seen.total_squares, float) - seen_mean * total
    unit = seen_mean * (1 - seen_mean)
    chance = np.maximum(np.asarray(seen.subjects, float) - 1, 0)
    spare = spare - chance  # one try of each subject says nothing of how alike its tries are
    known = (spare > 0) & (unit > 0)
    excess = np.divide(scatter, unit, out=np.zeros_like(weight), where=known) - chance
    alike = np.clip(np.divide(excess, spare, out=np.zeros_like(weight), where=known), 0, 1)
    count = np.where(known, np.asarray(seen.subjects, float), 0)
    alike = np.clip((alike * count + subjects / (1 + default_size)) / (count + subjects), least, 0.5)
    size = 1 / alike - 1
    return Beta(mean * size, (1 - mean) * size)


def fit_gamma(seen: Moments, *, default: Gamma, subjects: float, floor: float, most: float) -> Gamma:
    """Fit the distribution of a rate over subjects, by the method of moments.

    Args:
        seen: The events (total) and the time (weight) of the subjects.
        default: What is assumed of an organization of which nothing is known.
        subjects: How many subjects the default is worth [subjects].
        floor: The least mean rate; a smaller one is raised to it.
        most: The largest shape: how many events the prior is worth at most [events].

    Source: R. E. Kass and D. Steffey, Approximate Bayesian Inference in Conditionally Independent Hierarchical Models,
    JASA 84 (1989) 717-726; the moments of the negative binomial as in Kleinman's paper.
    """
    total, weight, spare = _pooled(seen)
    worth = subjects * np.asarray(default.exposure, float)
    mean = np.maximum((total + default.mean * worth) / (weight + worth), floor)
    seen_mean = np.divide(total, weight, out=np.zeros_like(weight), where=weight > 0)
    scatter = np.asarray(seen.total_squares, float) - seen_mean * total
    chance = np.maximum(np.asarray(seen.subjects, float) - 1, 0) * seen_mean
    known = (spare > 0) & (seen_mean > 0)
    spread = np.divide(scatter - chance, spare * seen_mean**2, out=np.zeros_like(weight), where=known)
    count = np.where(known, np.asarray(seen.subjects, float), 0)
    shares = np.maximum(spread, 0) * count + subjects / np.asarray(default.count, float)
    shape = np.minimum((count + subjects) / shares, most)
    return Gamma(shape, shape / mean)


def _pooled(seen: Moments) -> tuple[Floats, Floats, Floats]:
    """Return total and weight, and how much of the scatter between subjects one unit of variance explains."""
    total, weight = np.asarray(seen.total, float), np.asarray(seen.weight, float)
    squares = np.asarray(seen.weight_squares, float)
    spare = weight - np.divide(squares, weight, out=np.zeros_like(weight), where=weight > 0)
    spare = np.where(spare > 1e-9 * weight, spare, 0.0)
    return total, weight, spare


def count_tail(counts: ArrayLike, *, exposure: ArrayLike, rate: Gamma) -> Floats:
    """Return how likely so many events or more are, in a time, when their rate is drawn from a distribution.

    The number is negative binomial: Poisson with a gamma-distributed rate. Counts of 0 have the probability 1.

    Source: M. Greenwood and G. U. Yule, J. Royal Statistical Society 83 (1920) 255-279.
    """
    from scipy.special import betainc

    events, time = np.asarray(counts, float), np.asarray(exposure, float)
    share = time / (np.asarray(rate.exposure, float) + time)
    shape = np.asarray(rate.count, float)
    return _likely(np.where(events > 0, betainc(np.maximum(events, 1), shape, share), 1.0))


def count_limit(exposure: ArrayLike, *, rate: Gamma, least: float) -> Floats:
    """Return the largest number of events that is not rarer than `least`: of which so many or more are so likely.

    Args:
        exposure: The time.
        rate: How the rate is distributed.
        least: The probability that the tail from this number on has at least, below 1 [1].

    Returns:
        Whole numbers, 0 where one event would be too many.
    """
    time = np.asarray(exposure, float)
    low, high = np.zeros_like(time), np.ones_like(time)
    while (growing := count_tail(high, exposure=time, rate=rate) >= least).any():
        low, high = np.where(growing, high, low), np.where(growing, 2 * high, high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        fits = count_tail(middle, exposure=time, rate=rate) >= least
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return low


def hit_tail(hits: ArrayLike, *, tries: ArrayLike, share: Beta) -> Floats:
    """Return how likely so many hits or more are, of some tries, when their share is drawn from a distribution.

    The number is beta-binomial. No hits have the probability 1, and more hits than tries have 0.

    Source: J. G. Skellam, J. Royal Statistical Society B 10 (1948) 257-261.
    """
    shape: tuple[Any, ...] = np.broadcast_arrays(hits, tries, share.hits, share.misses)
    each = np.stack([values.ravel() for values in shape], axis=1).astype(float)
    different, which = np.unique(each, axis=0, return_inverse=True)  # many ask the same, and each is a sum
    tails = np.array([_hit_tail(*one) for one in different.tolist()], float)
    return np.asarray(tails[which.ravel()].reshape(shape[0].shape))


def _hit_tail(hits: float, tries: float, alpha: float, beta: float) -> float:
    from scipy.special import betaln, gammaln, logsumexp

    if hits <= 0 or hits > tries:
        return float(hits <= 0)
    each = np.arange(hits, tries + 1)
    choices = gammaln(tries + 1) - gammaln(each + 1) - gammaln(tries - each + 1)
    terms = choices + betaln(each + alpha, tries - each + beta) - betaln(alpha, beta)
    return float(min(np.exp(logsumexp(terms)), 1.0))


def run_tail(lengths: ArrayLike, *, share: Beta) -> Floats:
    """Return how likely a run so long or longer is, when it goes on after each event with a share that is drawn.

    The length is beta-geometric; every run has at least one event, so lengths up to 1 have the probability 1.

    Source: C. R. Weinberg and B. C. Gladen, The Beta-Geometric Distribution Applied to Comparative Fecundability
    Studies, Biometrics 42 (1986) 547-560.
    """
    from scipy.special import betaln

    more = np.maximum(np.asarray(lengths, float) - 1, 0)
    hits, misses = np.asarray(share.hits, float), np.asarray(share.misses, float)
    return _likely(np.exp(betaln(hits + more, misses) - betaln(hits, misses)))


def false_discovery(p_values: ArrayLike, *, tests: float) -> Floats:
    """Return the q-value of each p-value: the false discovery rate at which it would be reported.

    Args:
        p_values: Those that are known.
        tests: How many tests were done in all; the p-values that are not given count as 1.

    Returns:
        As many as p-values, in their order.

    Source: Y. Benjamini and Y. Hochberg, Controlling the False Discovery Rate, J. Royal Statistical Society B 57 (1995)
    289-300.
    """
    given = np.asarray(p_values, float)
    order = np.argsort(given)
    stepped = given[order] * max(tests, len(given)) / np.arange(1, len(given) + 1)
    q_values = np.empty_like(given)
    q_values[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return q_values


def _likely(values: Any) -> Floats:
    """Cut what rounding puts beyond 0 and 1."""
    return np.asarray(np.clip(np.asarray(values, float), 0.0, 1.0))
