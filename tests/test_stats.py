"""The statistics of small numbers: laws that hold for all numbers, and scipy.stats as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from auditframe.stats import (
    Beta,
    Gamma,
    Moments,
    count_limit,
    count_tail,
    false_discovery,
    fit_beta,
    fit_gamma,
    hit_tail,
    moments,
    run_tail,
)

positive = st.floats(0.05, 200)
shares = st.builds(Beta, positive, positive)
rates = st.builds(Gamma, positive, positive)
likely = st.floats(0, 1)

FLAT = Beta(1, 1)
SOME = Gamma(1, 1)


def close(value: object, expected: object) -> bool:
    return bool(np.allclose(np.asarray(value, float), np.asarray(expected, float), rtol=1e-7, atol=1e-13))


# Tails.


@given(st.integers(0, 300), positive, rates)
def test_the_tail_of_a_count_is_the_negative_binomial(count: int, exposure: float, rate: Gamma) -> None:
    size, time = float(np.asarray(rate.count)), float(np.asarray(rate.exposure))
    expected = oracle.nbinom.sf(count - 1, size, time / (time + exposure))

    assert close(count_tail(count, exposure=exposure, rate=rate), expected)


@given(st.integers(0, 60), st.integers(0, 60), shares)
def test_the_tail_of_hits_is_the_beta_binomial(hits: int, misses: int, share: Beta) -> None:
    tries = hits + misses
    expected = np.sum(oracle.betabinom.pmf(np.arange(hits, tries + 1), tries, share.hits, share.misses))

    assert close(hit_tail(hits, tries=tries, share=share), min(expected, 1))


@given(st.integers(1, 40), shares)
def test_the_tail_of_a_run_is_that_of_all_hits_in_one_try_less(length: int, share: Beta) -> None:
    expected = oracle.betabinom.pmf(length - 1, length - 1, share.hits, share.misses)

    assert close(run_tail(length, share=share), expected)


def test_tails_of_few_are_as_worked_out_by_hand() -> None:
    assert close(run_tail([1, 2, 3, 4], share=FLAT), [1, 1 / 2, 1 / 3, 1 / 4])
    assert close(hit_tail([0, 1, 2, 3], tries=3, share=FLAT), [1, 3 / 4, 2 / 4, 1 / 4])
    assert close(count_tail([0, 1, 2, 3], exposure=1, rate=SOME), [1, 1 / 2, 1 / 4, 1 / 8])


def test_more_hits_than_tries_cannot_be() -> None:
    assert hit_tail(4, tries=3, share=FLAT) == 0


@given(shares, rates, positive)
def test_a_tail_begins_at_one_and_never_grows(share: Beta, rate: Gamma, exposure: float) -> None:
    numbers = np.arange(50)

    for tail in (
        count_tail(numbers, exposure=exposure, rate=rate),
        hit_tail(numbers, tries=49, share=share),
        run_tail(numbers, share=share),
    ):
        assert tail[0] == 1
        assert (np.diff(tail) <= 1e-12).all()
        assert ((tail >= 0) & (tail <= 1)).all()


@given(st.integers(1, 60), shares)
def test_a_run_is_at_least_as_likely_as_the_power_of_the_mean_share(length: int, share: Beta) -> None:
    assert run_tail(length, share=share) >= share.mean ** (length - 1) * (1 - 1e-9)


@given(st.integers(1, 30), st.floats(0.2, 20), st.floats(0.2, 20))
def test_what_was_seen_more_often_is_more_likely(count: int, size: float, exposure: float) -> None:
    rate, share = Gamma(size, exposure), Beta(size, exposure)

    assert count_tail(count, exposure=1, rate=rate.given(3, 0)) >= count_tail(count, exposure=1, rate=rate)
    assert hit_tail(count, tries=30, share=share.given(3, 0)) >= hit_tail(count, tries=30, share=share)
    assert run_tail(count, share=share.given(0, 3)) <= run_tail(count, share=share)


@given(positive, rates, st.floats(0.001, 0.5))
def test_a_limit_is_the_largest_count_that_is_not_too_rare(exposure: float, rate: Gamma, least: float) -> None:
    limit = count_limit(exposure, rate=rate, least=least)

    assert limit == 0 or count_tail(limit, exposure=exposure, rate=rate) >= least
    assert count_tail(limit + 1, exposure=exposure, rate=rate) < least


# Priors.


def test_without_subjects_the_default_is_the_prior() -> None:
    share = fit_beta(moments([], []), default=Beta(5, 15), subjects=10, floor=0.01, least=0.01)
    rate = fit_gamma(moments([], []), default=Gamma(2, 4), subjects=10, floor=0.01, most=50)

    assert close([share.hits, share.misses], [5, 15])
    assert close([rate.count, rate.exposure], [2, 4])


def test_many_subjects_teach_the_prior_that_they_were_drawn_from() -> None:
    chance = np.random.default_rng(7)
    tries = chance.integers(20, 60, 20_000)
    hits = chance.binomial(tries, chance.beta(3, 9, 20_000))
    counts = chance.poisson(chance.gamma(2, 1 / 4, 20_000) * tries)
    share = fit_beta(moments(hits, tries), default=FLAT, subjects=10, floor=0.001, least=0.001)
    rate = fit_gamma(moments(counts, tries), default=SOME, subjects=10, floor=0.001, most=500)

    assert np.allclose(np.stack([share.hits, share.misses]), [3, 9], rtol=0.03)
    assert np.allclose(np.stack([rate.count, rate.exposure]), [2, 4], rtol=0.03)


def test_subjects_that_are_all_alike_are_worth_as_much_as_the_bounds_allow() -> None:
    alike = moments([5.0] * 100_000, [10.0] * 100_000)
    share = fit_beta(alike, default=FLAT, subjects=1, floor=0.01, least=0.02)
    rate = fit_gamma(alike, default=SOME, subjects=1, floor=0.01, most=40)

    assert close(np.asarray(share.hits) + np.asarray(share.misses), 49)
    assert close(rate.count, 40)


def test_subjects_that_never_hit_leave_the_floor() -> None:
    never = moments([0.0] * 10_000, [50.0] * 10_000)

    assert close(fit_beta(never, default=FLAT, subjects=1, floor=0.02, least=0.01).mean, 0.02)
    assert close(fit_gamma(never, default=SOME, subjects=1, floor=0.005, most=40).mean, 0.005)


subjects = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), min_size=1, max_size=30)


@given(subjects)
def test_the_sums_without_a_subject_are_those_of_the_others(pairs: list[tuple[int, int]]) -> None:
    totals, weights = ([float(pair[n]) if pair[1] else 0.0 for pair in pairs] for n in (0, 1))
    without = moments(totals, weights).without(totals[0], weights[0])
    others = moments(totals[1:], weights[1:])

    for name in Moments.__slots__:
        assert np.allclose(getattr(without, name), getattr(others, name), atol=1e-6)


@given(subjects)
def test_a_prior_keeps_within_its_bounds(pairs: list[tuple[int, int]]) -> None:
    hits, tries = [float(min(pair)) for pair in pairs], [float(pair[1]) for pair in pairs]
    share = fit_beta(moments(hits, tries), default=FLAT, subjects=5, floor=0.05, least=0.01)
    rate = fit_gamma(moments(hits, tries), default=SOME, subjects=5, floor=0.05, most=20)

    assert 0.05 * (1 - 1e-9) <= share.mean <= 0.95 * (1 + 1e-9)
    assert 1 - 1e-9 <= np.asarray(share.hits) + np.asarray(share.misses) <= 99 * (1 + 1e-9)
    assert rate.mean >= 0.05 * (1 - 1e-9)
    assert 0 < float(np.asarray(rate.count)) <= 20


# False discoveries.

p_lists = st.lists(likely, min_size=1, max_size=60)


@given(p_lists)
def test_q_values_are_those_of_the_oracle(p_values: list[float]) -> None:
    expected = oracle.false_discovery_control(p_values, method="bh")

    assert close(false_discovery(p_values, tests=len(p_values)), expected)


@given(p_lists, st.integers(0, 500))
def test_tests_that_are_not_listed_count_as_hopeless_ones(p_values: list[float], more: int) -> None:
    expected = oracle.false_discovery_control([*p_values, *([1.0] * more)], method="bh")[: len(p_values)]

    assert close(false_discovery(p_values, tests=len(p_values) + more), expected)


@given(p_lists)
def test_the_order_of_p_values_changes_no_q_value(p_values: list[float]) -> None:
    order = np.random.default_rng(len(p_values)).permutation(len(p_values))
    shuffled = false_discovery(np.asarray(p_values)[order], tests=100)

    assert close(shuffled, false_discovery(p_values, tests=100)[order])


@given(p_lists)
def test_no_q_value_is_below_its_p_value_or_above_one(p_values: list[float]) -> None:
    q_values = false_discovery(p_values, tests=len(p_values))

    assert (q_values >= np.asarray(p_values) * (1 - 1e-12)).all()
    assert (q_values <= 1).all()


def test_no_p_values_give_no_q_values() -> None:
    assert false_discovery([], tests=10).tolist() == []


def test_under_the_null_hypothesis_false_discoveries_are_as_rare_as_asked() -> None:
    chance = np.random.default_rng(11)
    worlds = 4_000
    wrong = sum((false_discovery(chance.random(50), tests=50) <= 0.05).any() for _ in range(worlds))

    assert wrong / worlds == pytest.approx(0.05, abs=0.015)
