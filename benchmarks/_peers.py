"""What others do about failed logins, each at its usual settings.

Sources:
    z-score: the usual three standard deviations. Median and MAD: Iglewicz and Hoaglin, How to Detect and Handle
    Outliers (1993), with their 3.5 and, where the MAD is 0, their mean absolute deviation. IsolationForest: Liu, Ting
    and Zhou (2008) as scikit-learn has it, one account-hour in a hundred called unusual. The three rules: as detection
    content for identity providers publishes them.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks._matching import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from auditframe.lake import Events

    Score = Callable[[float, NDArray[np.float64]], float]
    Method = Callable[[pd.DataFrame], Iterator[Alarm]]

HOUR_S = 3_600
HISTORY_H, LEARN_H = 30 * 24, 7 * 24
_ASKED = """
    SELECT
        events.id AS id,
        CAST(epoch(effective_at) AS BIGINT) AS at,
        coalesce(actor_email, actor_id) AS actor,
        ip_address,
        effect = 'login' AS is_good
    FROM events JOIN catalogue ON catalogue.type = events.type
    WHERE effect IN ('login', 'login_failed')
    ORDER BY effective_at, id
"""


def attempts(events: Events) -> pd.DataFrame:
    """Return every attempt to sign in, in order: id, at [Unix seconds], actor, ip_address, is_good."""
    return events.sql(_ASKED)


def missing() -> str | None:
    """Say what a peer needs that is not installed; None when nothing is missing."""
    if importlib.util.find_spec("sklearn"):
        return None
    return "IsolationForest is left out: scikit-learn is not installed (requirements/peers.lock)."


def z_score(x: float, history: NDArray[np.float64]) -> float:
    """Return by how many standard deviations a count exceeds the mean of its history, against a limit of 3."""
    spread = history.std()
    return float((x - history.mean()) / spread / 3) if spread else np.inf


def mad_score(x: float, history: NDArray[np.float64]) -> float:
    """Return by how many robust deviations a count exceeds the median of its history, against a limit of 3.5."""
    middle = np.median(history)
    off = np.abs(history - middle)
    spread = np.median(off) / 0.6745 or off.mean() * 1.253314
    return float((x - middle) / spread / 3.5) if spread else np.inf


def hourly(score: Score, *, by_actor: bool) -> Method:
    """Make a method of a score of hourly counts of failures: of the organization, or of each account."""

    def raised(tries: pd.DataFrame) -> Iterator[Alarm]:
        failures = tries[~tries["is_good"]]
        groups = failures.groupby("actor") if by_actor else [("organization", failures)]
        first = int(tries["at"].min()) // HOUR_S
        for subject, some in groups:
            hours = some["at"].to_numpy() // HOUR_S - first
            counts = np.bincount(hours).astype(float)
            for hour in np.unique(hours[hours >= LEARN_H]):
                if score(counts[hour], counts[max(hour - HISTORY_H, 0) : hour]) > 1:
                    yield _alarm(str(subject), some[hours == hour], known_at=float(first + hour + 1) * HOUR_S)

    return raised


def five_in_ten_minutes(tries: pd.DataFrame) -> Iterator[Alarm]:
    """Five failures of one account within ten minutes."""
    for actor, some in tries[~tries["is_good"]].groupby("actor"):
        at = some["at"].to_numpy()
        for last in range(4, len(at)):
            if at[last] - at[last - 4] < 600:
                yield _alarm(str(actor), some.iloc[last - 4 : last + 1], known_at=float(at[last]))


def five_addresses(tries: pd.DataFrame) -> Iterator[Alarm]:
    """Failures of one account from five different addresses within 30 minutes."""
    for actor, some in tries[~tries["is_good"]].dropna(subset=["ip_address"]).groupby("actor"):
        at, addresses = some["at"].to_numpy(), some["ip_address"].to_numpy()
        begins = np.searchsorted(at, at - 1_800, side="right")
        for last, first in enumerate(begins):
            if last - first >= 4 and len(set(addresses[first : last + 1])) >= 5:
                yield _alarm(str(actor), some.iloc[first : last + 1], known_at=float(at[last]))


def five_and_a_success(tries: pd.DataFrame) -> Iterator[Alarm]:
    """Five failures of one account in a row and then a success, all within an hour."""
    for actor, some in tries.groupby("actor"):
        at, is_good = some["at"].to_numpy(), some["is_good"].to_numpy(bool)
        last_good = -1
        for entry in np.flatnonzero(is_good):
            since = max(last_good + 1, int(np.searchsorted(at, at[entry] - HOUR_S)))
            if entry - since >= 5:
                yield _alarm(str(actor), some.iloc[since : entry + 1], known_at=float(at[entry]))
            last_good = int(entry)


def three_rules(tries: pd.DataFrame) -> Iterator[Alarm]:
    """The three rules side by side, as a rule pack has them."""
    for rule in (five_in_ten_minutes, five_addresses, five_and_a_success):
        yield from rule(tries)


def isolation_forest(tries: pd.DataFrame) -> Iterator[Alarm]:
    """The hundredth of all account-hours that is easiest to isolate by its counts, addresses and time of day."""
    forest = importlib.import_module("sklearn.ensemble").IsolationForest  # the benchmark's own, not a dependency
    named = tries.dropna(subset=["actor"]).assign(hour=lambda frame: frame["at"] // HOUR_S)
    named["is_new"] = ~named.duplicated(["actor", "ip_address"])
    hours = named.groupby(["actor", "hour"])
    features = pd.DataFrame(
        {
            "tries": hours.size(),
            "failures": hours.size() - hours["is_good"].sum(),
            "addresses": hours["ip_address"].nunique(),
            "new_addresses": hours["is_new"].sum(),
        }
    )
    features["of_day"] = features.index.get_level_values("hour") % 24
    features["of_week"] = (features.index.get_level_values("hour") // 24 + 3) % 7
    unusual = forest(contamination=0.01, random_state=0).fit_predict(features.to_numpy(float)) < 0
    rows = named.groupby(["actor", "hour"]).indices
    for actor, hour in features.index[unusual & (features["failures"] > 0).to_numpy()]:
        yield _alarm(actor, named.iloc[rows[(actor, hour)]], known_at=float(hour + 1) * HOUR_S)


METHODS: Mapping[str, Method] = {
    "hourly z-score > 3, organization": hourly(z_score, by_actor=False),
    "hourly z-score > 3, per account": hourly(z_score, by_actor=True),
    "hourly median/MAD > 3.5, organization": hourly(mad_score, by_actor=False),
    "hourly median/MAD > 3.5, per account": hourly(mad_score, by_actor=True),
    "IsolationForest, per account and hour": isolation_forest,
    "5 failures in 10 minutes": five_in_ten_minutes,
    "5 addresses in 30 minutes": five_addresses,
    "5 failures and a success": five_and_a_success,
    "the three rules together": three_rules,
}
"""The peers, in the order of the table."""


def _alarm(subject: str, some: pd.DataFrame, *, known_at: float) -> Alarm:
    at = some["at"]
    return Alarm(subject, int(at.iloc[0]), int(at.iloc[-1]), known_at, frozenset(some["id"]))
