"""How sign-ins that fail are judged: from counts of windows and of the time before them to p- and q-values."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from auditframe.reports._incidents import Window, gathered, told_incidents
from auditframe.stats import Beta, Gamma, Moments, count_tail, false_discovery, fit_beta, fit_gamma, hit_tail, run_tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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

STRANGE = (0.01, 0.002, 0.0005)
"""The least mean shares of logins of which one, two or three of address, network and client are strange."""

PARTS = (0.05, 0.1, 0.4, 0.45)
"""How the error of a run's test is shared out: so much where none of the three is strange, where one is, two, three."""

_ALONE = 0.9  # of it for the length alone, the rest for the length with how many failures follow at once

SCAN = 0.2
"""How much a test of slow or stuffing counts against one of a run; these attacks leave plenty to judge."""

LEAST = {"run": 5, "slow": 5, "stuffing": 4, "spray": 5}
"""Fewer failures, runs, addresses or accounts than this are never significant."""

_SHARES: Mapping[str, tuple[Beta, float, float]] = {  # default, least mean, least correlation
    "runs": (Beta(5, 15), GOES_ON, 0.01),
    "quick": (Beta(0.5, 9.5), QUICK, 0.02),
    "first_1": (Beta(9, 1), STRANGE[0], 0.1),
    "first_2": (Beta(5, 5), STRANGE[0], 0.1),
    "first_3": (Beta(5, 5), STRANGE[0], 0.1),
    "strange_1": (Beta(0.5, 4.5), STRANGE[0], 0.02),
    "strange_2": (Beta(0.25, 9.75), STRANGE[1], 0.01),
    "strange_3": (Beta(0.1, 9.9), STRANGE[2], 0.005),
    "knocks": (Beta(0.5, 9.5), 0.02, 0.05),
    "shut_out": (Beta(0.5, 9.5), 0.02, 0.02),
}
_RATES: Mapping[str, tuple[Gamma, float, float]] = {  # default, least mean, most events that it is worth
    "failures": (Gamma(0.5, 5), 0.01, 5),
    "slow": (Gamma(0.5, 25), 0.005, 5),
    "stuffing": (Gamma(0.5, 25), 0.005, 5),
}
_CROWDED, _DAILY = Gamma(4, 8), Gamma(2, 2)  # attempts after the first in an hour with any, and in a day
_SUSPECT = (
    "failures",
    "quick",
    "strangeness",
    "leads_in",
    "went_on",
    "usual",
    "was_quick",
    "failed",
    "attempts",
    "hours",
    "logins",
    "strangers",
    "since_s",
)
"""The numbers of a run: of itself, of the account's days before it, and since when the account is known."""


def find_anomalies(answer: pa.Table, values: Mapping[str, Any]) -> pa.Table:
    """Judge what the SQL has counted, and tell the incidents."""
    rows = _rows_of(answer)
    seen = {row["subject"]: Moments(*row["numbers"]) for row in rows["moments"]}
    history_s = values["history_days"] * _DAY_S
    on_runs, on_marks, on_addresses, on_slots = (float(number or 0) for number in rows["tests"][0]["numbers"])
    others = _Others(seen, {(row["subject"], row["names"][0]): tuple(row["numbers"]) for row in rows["own"]})
    attacks = [*_runs(rows["suspect"], others, history_s)]
    for pattern in ("slow", "stuffing"):
        attacks += _scans(pattern, rows[pattern], others, history_s)
    attacks += _sprays(rows["spray"], others)
    significant = [
        *_significant(attacks, on_runs + SCAN * on_marks + on_addresses, values["fdr"]),
        *_significant([*_outages(rows["outage"], others)], on_slots, values["fdr"]),
    ]
    return told_incidents(significant, rows, values)


def _rows_of(answer: pa.Table) -> Rows:
    """Make rows by their kind of the answer; an attempt is its time, in microseconds, and its id.

    There may be many attempts, and a dictionary with an aware time for each would take most of the time.
    """
    attempts: Any = answer["attempts"].combine_chunks()
    times, ids = attempts.values.field("at").cast(pa.int64()).to_pylist(), attempts.values.field("id").to_pylist()
    steps, ends = list(zip(times, ids, strict=True)), attempts.offsets.to_pylist()
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number, row in enumerate(answer.drop_columns("attempts").to_pylist()):
        rows[row["kind"]].append(row | {"attempts": steps[ends[number] : ends[number + 1]]})
    return rows


def _significant(windows: Sequence[Window], tests: float, fdr: float) -> Iterator[Window]:
    """Give windows their q-values, and leave out those above the false discovery rate.

    Many windows of one attack are one discovery and no more: were each counted, an attack would buy the benefit of the
    doubt for many others. So the smallest p-value of windows that touch stands for them all, among all tests.

    Source: Y. Benjamini and R. Heller, False Discovery Rates for Spatial Signals, JASA 102 (2007) 1272-1281.
    """
    best = np.sort([min(window.p_value for window in group) for group in gathered(windows)])
    reported = np.append(false_discovery(best, tests=tests), 1.0)
    p_values = np.array([window.p_value for window in windows], float)
    ranks = np.maximum(np.searchsorted(best, p_values, side="right"), 1)
    q_values = np.minimum(p_values * tests / ranks, reported[np.searchsorted(best, p_values)])
    for window, q_value in zip(windows, q_values.tolist(), strict=True):
        if q_value <= fdr:
            yield replace(window, q_value=q_value)


@dataclass(frozen=True, slots=True)
class _Others:
    """What is usual in the source: sums over all subjects, and what single accounts add to them."""

    seen: Mapping[str, Moments]
    own: Mapping[tuple[str, str], tuple[float, float]]

    def share(self, name: str, actors: Sequence[str] | None = None) -> Beta:
        """Return the distribution of a share over subjects, for each account over those beside it."""
        default, floor, least = _SHARES[name]
        return fit_beta(self._without(name, actors), default=default, subjects=_ALIKE, floor=floor, least=least)

    def rate(self, name: str, actors: Sequence[str]) -> Gamma:
        """Return the distribution of a rate over accounts, for each account over those beside it."""
        default, floor, most = _RATES[name]
        return fit_gamma(self._without(name, actors), default=default, subjects=_ALIKE, floor=floor, most=most)

    def _without(self, name: str, actors: Sequence[str] | None) -> Moments:
        seen = self.seen.get(name, Moments(0, 0, 0, 0, 0))
        if actors is None:
            return seen
        own = np.array([self.own.get((actor, name), (0, 0)) for actor in actors], float).reshape(-1, 2)
        return seen.without(own[:, 0], own[:, 1])


def _numbers(rows: Sequence[dict[str, Any]], number: int) -> Floats:
    return np.array([row["numbers"][number] for row in rows], float)


def _runs(rows: Sequence[dict[str, Any]], others: _Others, history_s: float) -> Iterator[Window]:
    """Judge how long the runs are, how many attempts they made in their time, and how strange they are."""
    actors = [row["subject"] for row in rows]
    seen = {name: _numbers(rows, number) for number, name in enumerate(_SUSPECT)}
    seen |= {name: np.array([row[name] for row in rows], float) for name in ("starts_s", "ends_s")}
    seen["known_days"] = np.minimum(seen["starts_s"] - seen["since_s"], history_s) / _DAY_S
    unusual = np.maximum(_long(seen, others, actors), _many(seen))
    p_values = np.minimum(_strange(seen, others, actors) * unusual, 1)
    rate = others.rate("failures", actors).given(seen["failed"], seen["known_days"])
    expected = rate.mean * np.maximum(seen["ends_s"] - seen["starts_s"], 600) / _DAY_S
    for number, row in enumerate(rows):
        pattern = "success_after_failures" if seen["leads_in"][number] and seen["strangeness"][number] else "burst"
        times = (row["starts_s"], row["ends_s"])
        yield Window(pattern, "actor", row["subject"], *times, float(p_values[number]), float(expected[number]))


def _long(seen: Mapping[str, Floats], others: _Others, actors: Sequence[str]) -> Floats:
    """Return how likely runs so long are, by themselves or with how many failures follow within three seconds.

    Nobody types so fast. Two ways of looking at a run are two tests, so the smaller p-value counts twice.

    Source: R. A. Fisher, Statistical Methods for Research Workers, 4th edition (1932), section 21.1, for two p-values.
    """
    lengths = seen["failures"]
    share = others.share("runs", actors).given(seen["went_on"], seen["usual"])
    long = run_tail(lengths, share=share.at_least(GOES_ON))
    fast = others.share("quick", actors).given(seen["was_quick"], seen["went_on"] - seen["was_quick"])
    both = long * hit_tail(seen["quick"], tries=lengths - 1, share=fast.at_least(QUICK))
    both = both * (1 - np.log(np.maximum(both, 1e-300)))
    return np.asarray(np.minimum(np.minimum(long / _ALONE, both / (1 - _ALONE)), 1))


def _many(seen: Mapping[str, Floats]) -> Floats:
    """Return how likely it is that an account tries as often as in each of its runs, successes counted like failures.

    A service that always tried at this rate, and only began to fail, is as likely as ever. Its hours count only as
    far as it tries anything in them, so a job that tries much at night is no surprise either.
    """
    lasted_s = np.maximum(seen["ends_s"] - seen["starts_s"], 1)
    hourly = np.ceil(seen["failures"] * np.minimum(3600 / lasted_s, 1))
    crowded = _CROWDED.given(seen["attempts"] - seen["hours"], seen["hours"])
    daily = _DAILY.given(seen["attempts"], seen["known_days"])
    in_hours = count_tail(hourly - 1, exposure=_RETRIES, rate=crowded)
    in_days = count_tail(seen["failures"], exposure=_RETRIES * np.maximum(lasted_s / _DAY_S, 1), rate=daily)
    return np.asarray(np.minimum(2 * np.minimum(in_hours, in_days), 1))


def _strange(seen: Mapping[str, Floats], others: _Others, actors: Sequence[str]) -> Floats:
    """Return how often an account signs in from where, and with what, is as strange as all of a run.

    Whoever never signed in has no place of its own: of it, nothing is strange.
    """
    answer = np.ones(len(actors)) / PARTS[0]
    is_known = ~np.isnan(seen["logins"])
    logins, strangers = np.where(is_known, seen["logins"], 0), np.where(is_known, seen["strangers"], 0)
    for level, floor in enumerate(STRANGE, start=1):
        own = others.share(f"strange_{level}", actors).given(strangers, np.maximum(logins - strangers, 0))
        first = others.share(f"first_{level}", actors)
        likely = np.maximum(np.where(is_known, own.mean, first.mean), floor)
        answer = np.where(seen["strangeness"] == level, likely / PARTS[level], answer)
    return answer


def _scans(pattern: str, rows: Sequence[dict[str, Any]], others: _Others, history_s: float) -> Iterator[Window]:
    """Judge how many runs begin, or how many addresses fail, in windows that end at one of them."""
    rows = [row for row in rows if row["numbers"][0] >= LEAST[pattern]]
    counts, earlier, length_s, since_s = (_numbers(rows, number) for number in range(4))
    begins_s = np.array([row["ends_s"] for row in rows], float) - length_s
    known_days = np.clip(begins_s - since_s, 0, history_s) / _DAY_S
    own = others.rate(pattern, [row["subject"] for row in rows]).given(earlier, known_days)
    # The one at the window's end is given: it is why there is a window.
    likely = np.minimum(count_tail(counts - 1, exposure=length_s / _DAY_S, rate=own) / SCAN, 1)
    expected = own.mean * length_s / _DAY_S
    for number, row in enumerate(rows):
        times = (row["starts_s"], row["ends_s"])
        yield Window(pattern, "actor", row["subject"], *times, float(likely[number]), float(expected[number]))


def _sprays(rows: Sequence[dict[str, Any]], others: _Others) -> Iterator[Window]:
    """Judge how many of the accounts that are new to an address do not get in."""
    knocks, actors, earlier_knocks, earlier_actors = (_numbers(rows, number) for number in range(4))
    own = others.share("knocks").given(earlier_knocks, earlier_actors - earlier_knocks)
    likely, expected = hit_tail(knocks, tries=actors, share=own), own.mean * actors
    for number, row in enumerate(rows):
        times = (row["starts_s"], row["ends_s"])
        yield Window("spray", "ip", row["subject"], *times, float(likely[number]), float(expected[number]))


def _outages(rows: Sequence[dict[str, Any]], others: _Others) -> Iterator[Window]:
    """Judge how many of the accounts that try are shut out."""
    share = others.share("shut_out")
    for row in rows:
        present, shut_out = row["numbers"]
        p_value = float(hit_tail(shut_out, tries=present, share=share))
        yield Window("outage", None, None, row["starts_s"], row["ends_s"] - 1, p_value, float(share.mean) * present)
