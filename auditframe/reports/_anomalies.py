"""How sign-ins that fail are judged: from counts of windows and of the time before them to p- and q-values."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from auditframe.reports._incidents import Window, gathered, told_incidents
from auditframe.stats import Beta, Gamma, Moments, count_tail, false_discovery, fit_beta, fit_gamma, hit_tail, run_tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from auditframe.stats import Floats

    Rows = Mapping[str, Sequence[dict[str, Any]]]

_DAY_S = 86_400
_USUAL = 8  # longer runs say nothing of how long an account's runs are: an attack must not hide the next one
_TELLS = 10  # failures: an account tells no more than this about others, so that no habit of one becomes everybody's
_RETRIES = 2  # a client that fails may try so often as often as one that succeeds, and nobody attacks it
_ALIKE = 10  # subjects that the default prior is worth

GOES_ON = 0.25
"""The least mean share of failures that are followed by another: a run of n is at least as likely as its power n-1."""

QUICK = 0.05
"""The least mean share of failures that are followed by another within three seconds."""

NEW_PLACE = 0.01
"""The least mean share of logins that come from an address new to the account."""

LEAST = {"burst": 5, "success_after_failures": 4, "slow": 5, "stuffing": 4, "spray": 5}
"""Fewer failures, runs, addresses or accounts than this are never significant."""

_SLOW_S = (_DAY_S, 3 * _DAY_S, 7 * _DAY_S)
_STUFFING_S = (3_600, 6 * 3_600, _DAY_S)

_SHARES: Mapping[str, tuple[Beta, float, float]] = {  # default, least mean, least correlation
    "runs": (Beta(5, 15), GOES_ON, 0.01),
    "quick": (Beta(0.5, 9.5), QUICK, 0.02),
    "places": (Beta(0.5, 4.5), NEW_PLACE, 0.02),
    "knocks": (Beta(0.5, 9.5), 0.02, 0.05),
    "shut_out": (Beta(0.5, 9.5), 0.02, 0.02),
}
_RATES: Mapping[str, tuple[Gamma, float, float]] = {  # default, least mean, most events that it is worth
    "again": (Gamma(1, 2), 0.1, 20),  # after the first, in an hour with any
    "daily": (Gamma(1, 1), 0.1, 5),  # in a day, and so are the next
    "failures": (Gamma(0.5, 5), 0.01, 5),
    "begun": (Gamma(0.5, 25), 0.005, 5),
    "fresh": (Gamma(0.5, 25), 0.005, 5),
}


@dataclass(frozen=True, slots=True)
class _Past:
    """Sums over what happened at sorted times, of any stretch of time.

    Attributes:
        at_s: The times [Unix seconds].
        sums: The sum of the values up to each time; one more than there are times, from 0 on.
    """

    at_s: Floats
    sums: Floats

    @classmethod
    def of(cls, at_s: Floats, values: Floats) -> _Past:
        return cls(at_s, np.concatenate([[0.0], np.cumsum(values)]))

    def between(self, start: Floats, end: Floats) -> Floats:
        """Sum up what happened in ``[start, end)``."""
        return np.asarray(self.sums[np.searchsorted(self.at_s, end)] - self.sums[np.searchsorted(self.at_s, start)])


@dataclass(frozen=True, slots=True)
class _Account:
    """What is known of an account with many failures: its runs, its days, and how long it has been seen [days]."""

    name: str
    runs: Sequence[dict[str, Any]]
    days: Sequence[dict[str, Any]]
    fresh: Sequence[dict[str, Any]]
    life_days: float

    def column(self, number: int) -> Floats:
        return np.array([run["numbers"][number] for run in self.runs], float)

    def times(self, name: str) -> Floats:
        return np.array([run[name] for run in self.runs], float)

    def daily(self, number: int) -> _Past:
        # A day counts from its end on: the day of a window is not in the past of the window.
        at_s = np.array([day["starts_s"] + _DAY_S for day in self.days], float)
        return _Past.of(at_s, np.array([day["numbers"][number] for day in self.days], float))

    def moves(self) -> tuple[float, float]:
        """How many logins came from a new address, and how many there were, after the first of each."""
        logins, news = (sum(day["numbers"][number] for day in self.days) for number in (2, 3))
        return (news - 1, logins - 1) if news else (0.0, 0.0)

    def seen_days(self, start: Floats, end: Floats) -> Floats:
        """How many days before `end` and after `start` the account was known."""
        return np.asarray(np.maximum(end - np.maximum(start, self.days[0]["starts_s"]), 0) / _DAY_S)


def find_anomalies(answer: pa.Table, values: Mapping[str, Any]) -> pa.Table:
    """Judge what the SQL has counted, and tell the incidents."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in answer.to_pylist():
        rows[row["kind"]].append(row)
    seen = {row["subject"]: Moments(*row["numbers"]) for row in rows["moments"]}
    windows = [*_on_accounts(rows, seen, values), *_from_addresses(rows, seen), *_outages(rows, seen)]
    tests = sum(number or 0 for row in rows["tests"] for number in row["numbers"])
    judged = _judged(windows, tests)
    return told_incidents([window for window in judged if window.q_value <= values["fdr"]], rows, values)


def _judged(windows: Sequence[Window], tests: float) -> Iterator[Window]:
    """Give windows their q-values.

    Many windows of one attack are one discovery and no more: were each counted, an attack would buy the benefit of the
    doubt for many others. So the smallest p-value of windows that touch stands for them all, among all tests.

    Source: Y. Benjamini and R. Heller, False Discovery Rates for Spatial Signals, JASA 102 (2007) 1272-1281.
    """
    best = np.sort([min(window.p_value for window in group) for group in gathered(windows)])
    reported = np.append(false_discovery(best, tests=tests), 1.0)
    for window in windows:
        rank = max(int(np.searchsorted(best, window.p_value, side="right")), 1)
        later = float(reported[np.searchsorted(best, window.p_value)])
        yield replace(window, q_value=min(window.p_value * tests / rank, later))


def _share(name: str, seen: Mapping[str, Moments], own: tuple[float, float] = (0, 0)) -> Beta:
    default, floor, least = _SHARES[name]
    others = seen.get(name, Moments(0, 0, 0, 0, 0)).without(*own)
    return fit_beta(others, default=default, subjects=_ALIKE, floor=floor, least=least)


def _rate(name: str, seen: Mapping[str, Moments], own: tuple[float, float] = (0, 0)) -> Gamma:
    default, floor, most = _RATES[name]
    others = seen.get(name, Moments(0, 0, 0, 0, 0)).without(*own)
    return fit_gamma(others, default=default, subjects=_ALIKE, floor=floor, most=most)


def _on_accounts(rows: Rows, seen: Mapping[str, Moments], values: Mapping[str, Any]) -> Iterator[Window]:
    parts: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for kind in ("run", "day", "fresh", "life"):
        for row in rows[kind]:
            parts[row["subject"]][kind].append(row)
    for name, part in parts.items():
        account = _Account(name, part["run"], part["day"], part["fresh"], part["life"][0]["numbers"][0])
        if not _began_before(account, rows["tests"][0]["starts_s"]):
            yield from _runs(account, seen, values)
            yield from _scans(account, seen, values["history_days"] * _DAY_S)


def _began_before(account: _Account, log_begins_s: int) -> bool:
    """Whether an account failed from the log's first day on, never got in, and goes on for a week and more.

    What fails so steadily did so before the log began, and of that time nothing is known.
    """
    logins = sum(day["numbers"][2] for day in account.days)
    return not logins and len(account.days) >= 7 and account.runs[0]["starts_s"] - log_begins_s < _DAY_S


def _runs(account: _Account, seen: Mapping[str, Moments], values: Mapping[str, Any]) -> Iterator[Window]:
    """Judge how long the runs are, and how many attempts they made in their time."""
    lengths, start, end = account.column(0), account.times("starts_s"), account.times("ends_s")
    since = start - values["history_days"] * _DAY_S
    known_days = account.seen_days(since, start)
    usual = (lengths <= _USUAL).astype(float)
    went_on = usual * (lengths - 1)
    before = (_Past.of(start, each).between(since, start) for each in (went_on, usual))
    share = _share("runs", seen, _capped(went_on.sum(), (went_on + usual).sum())).given(*before)
    long = run_tail(lengths, share=share.at_least(GOES_ON))
    long = _hasty(account, seen, since, long)
    many = _many(account, seen, since, start)
    failed = np.minimum(lengths, 20)
    rate = _rate("failures", seen, (min(failed.sum(), 20), account.life_days))
    rate = rate.given(_Past.of(start, failed).between(since, start), known_days)
    expected = rate.mean * np.maximum(end - start, 600) / _DAY_S
    logins, news = (account.daily(number).between(since, start) for number in (2, 3))
    places = _share("places", seen, account.moves()).given(news, logins - news)
    foreign_long = long * np.maximum(places.mean, NEW_PLACE)
    foreign, leads_in = account.column(4) == lengths, account.column(2) > 0
    burst = np.maximum(np.where(foreign, foreign_long, long), many)
    for pattern, p_values, judged in (
        ("burst", burst, lengths >= LEAST["burst"]),
        ("success_after_failures", foreign_long, leads_in & (lengths >= LEAST["success_after_failures"])),
    ):
        for number in np.flatnonzero(judged):
            times = (float(start[number]), float(end[number]))
            yield Window(pattern, "actor", account.name, *times, float(p_values[number]), float(expected[number]))


def _capped(total: float, weight: float) -> tuple[float, float]:
    """Return what an account says of the others' habits: no more than ten tries of it, as the SQL has it."""
    return float(total * min(1, _TELLS / max(weight, 1))), float(min(weight, _TELLS))


def _hasty(account: _Account, seen: Mapping[str, Moments], since: Floats, long: Floats) -> Floats:
    """Make runs less likely that go on within three seconds each time: nobody types so fast.

    Source: R. A. Fisher, Statistical Methods for Research Workers, 4th edition (1932), section 21.1, for two p-values.
    """
    lengths, quick, start = account.column(0), account.column(5), account.times("starts_s")
    usual = (lengths <= _USUAL).astype(float)
    pairs = usual * (lengths - 1)
    share = _share("quick", seen, _capped((usual * quick).sum(), pairs.sum()))
    fast, slow = (_Past.of(start, each).between(since, start) for each in (usual * quick, pairs - usual * quick))
    both = long * hit_tail(quick, tries=lengths - 1, share=share.given(fast, slow).at_least(QUICK))
    return np.asarray(np.minimum(long, both * (1 - np.log(np.maximum(both, 1e-300)))))


def _many(account: _Account, seen: Mapping[str, Moments], since: Floats, start: Floats) -> Floats:
    """Return how likely it is that an account tries as often as in each of its runs, successes counted like failures.

    A service that always tried at this rate, and only began to fail, is as likely as ever. Its hours count only as
    far as it tries anything in them, so a job that tries much at night is no surprise either.
    """
    attempts, hours = (account.daily(number).between(since, start) for number in (0, 1))
    lasted_s = np.maximum(account.times("ends_s") - start, 1)
    hourly = np.ceil(account.column(0) * np.minimum(3600 / lasted_s, 1))
    crowded = count_tail(hourly - 1, exposure=_RETRIES, rate=_rate("again", seen).given(attempts - hours, hours))
    daily = _rate("daily", seen).given(attempts, account.seen_days(since, start))
    lasting = count_tail(account.column(0), exposure=_RETRIES * np.maximum(lasted_s / _DAY_S, 1), rate=daily)
    return np.asarray(np.minimum(2 * np.minimum(crowded, lasting), 1))


def _scans(account: _Account, seen: Mapping[str, Moments], history_s: float) -> Iterator[Window]:
    """Judge how many runs begin, and how many addresses fail, in windows that end at each of them."""
    starts = account.times("starts_s")[account.column(1) > 0]
    fresh = np.array([row["starts_s"] for row in account.fresh], float)
    for pattern, name, at_s, lengths in (("slow", "begun", starts, _SLOW_S), ("stuffing", "fresh", fresh, _STUFFING_S)):
        rate = _rate(name, seen, (min(len(at_s), 5), account.life_days))
        past = _Past.of(at_s, np.ones(len(at_s)))
        for length_s in lengths:
            begin = at_s - length_s + 1
            counts = past.between(begin, at_s + 1)
            own = rate.given(past.between(begin - history_s, begin), account.seen_days(begin - history_s, begin))
            # The one at the window's end is given: it is why there is a window.
            likely = count_tail(counts - 1, exposure=length_s / _DAY_S, rate=own)
            for number in np.flatnonzero(counts >= LEAST[pattern]):
                first = at_s[np.searchsorted(at_s, begin[number])]
                expected = float(own.mean[number]) * length_s / _DAY_S
                yield Window(pattern, "actor", account.name, first, at_s[number], float(likely[number]), expected)


def _from_addresses(rows: Rows, seen: Mapping[str, Moments]) -> Iterator[Window]:
    share = _share("knocks", seen)
    for row in rows["spray"]:
        knocks, actors, earlier_knocks, earlier_actors = row["numbers"]
        if knocks >= LEAST["spray"]:
            own = share.given(earlier_knocks, earlier_actors - earlier_knocks)
            p_value = float(hit_tail(knocks, tries=actors, share=own))
            expected = float(own.mean) * actors
            yield Window("spray", "ip", row["subject"], row["starts_s"], row["ends_s"], p_value, expected)


def _outages(rows: Rows, seen: Mapping[str, Moments]) -> Iterator[Window]:
    share = _share("shut_out", seen)
    for row in rows["outage"]:
        present, shut_out = row["numbers"]
        p_value = float(hit_tail(shut_out, tries=present, share=share))
        yield Window("outage", None, None, row["starts_s"], row["ends_s"] - 1, p_value, float(share.mean) * present)
