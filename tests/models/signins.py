"""Models of the reports on sign-ins, and on attacks that failed ones tell of."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

from tests.models.activity import ends, span
from tests.models.reading import DAY_US, MINUTE_US, Event, Row, grouped, how_many, ids, instant, instant_of, nulls_last

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def _logins(log: Iterable[Event]) -> list[Event]:
    return [event for event in log if event.effect == "login"]


def _failures(log: Iterable[Event]) -> list[Event]:
    return [event for event in log if event.effect == "login_failed"]


def login_failures(log: list[Event], *, min_failures: int = 1) -> list[Row]:
    """Return the failures of each pair of actor and address, the most first, and the success after them."""
    pairs = grouped(_failures(log), lambda event: (event.account, event.ip_address))
    rows = [
        _pair(actor, address, failures, _logins(log))
        for (actor, address), failures in pairs.items()
        if len(failures) >= min_failures
    ]
    return sorted(rows, key=lambda row: (-row["failures"], nulls_last(row["actor"]), nulls_last(row["ip_address"])))


def _pair(actor: str | None, address: str | None, failures: list[Event], logins: list[Event]) -> Row:
    own = (login for login in logins if actor is not None and login.account == actor)
    success = next((login for login in own if login.order > failures[-1].order), None)
    return {
        "actor": actor,
        "ip_address": address,
        "failures": len(failures),
        "first_at": instant(failures[0].at),
        "last_at": instant(failures[-1].at),
        "error_codes": sorted({code for failure in failures if (code := failure.told("error_code")) is not None}),
        "succeeded": None if actor is None else success is not None,
        "next_success_at": instant_of(success),
        "next_success_id": None if success is None else success.id,
        "event_ids": ids(failures),
    }


def logins_by_country(log: list[Event]) -> list[Row]:
    """Return who signed in from each country, the most logins first."""
    attempts = grouped(
        (event for event in log if event.effect in ("login", "login_failed")), lambda event: event.country
    )
    rows = [_country(country, events) for country, events in attempts.items()]
    return sorted(rows, key=lambda row: (-row["logins"], -row["failures"], nulls_last(row["country"])))


def _country(country: str | None, attempts: list[Event]) -> Row:
    often = Counter(login.account for login in _logins(attempts) if login.account is not None)
    return {
        "country": country,
        "actors": len(often),
        "logins": len(_logins(attempts)),
        "failures": len(_failures(attempts)),
        "once": sorted(actor for actor, times in often.items() if times == 1 and country is not None),
        **span(attempts),
    }


def login_failures_per_day(log: list[Event], *, history_days: int = 30) -> list[Row]:
    """Return each day's failures, and how many the days before let expect, none of which is beyond its limit."""
    attempts = [event for event in log if event.effect in ("login", "login_failed")]
    days = grouped(attempts, lambda event: event.at // DAY_US)
    return [
        _day(own, [past for earlier, past in days.items() if day - history_days <= earlier < day])
        for day, own in days.items()
    ]


def _day(attempts: list[Event], before: list[list[Event]]) -> Row:
    failed = 3 * Fraction("0.5") + sum(len(_failures(past)) for past in before)
    rate = failed / (3 * 5 + sum(_logins_at_least_one(past) for past in before))
    return {
        "day": instant(attempts[0].at).date(),
        "logins": len(_logins(attempts)),
        "failures": len(_failures(attempts)),
        "actors": how_many(failure.account for failure in _failures(attempts)),
        "expected": float(round(rate * _logins_at_least_one(attempts), 2)),
        **ends(attempts),
    }


def _logins_at_least_one(attempts: list[Event]) -> int:
    return max(len(_logins(attempts)), 1)


def success_after_failures(log: list[Event], *, min_failures: int = 5, within_minutes: int = 60) -> list[Row]:
    """Return the logins that end a run of failures."""
    rows = []
    for login in _logins(log):
        earlier = [event for event in log if event.account == login.account and event.order < login.order]
        since = max((each.order for each in _logins(earlier)), default=(0, ""))
        run = [
            failure
            for failure in _failures(earlier)
            if failure.order > since and login.at - failure.at < within_minutes * MINUTE_US
        ]
        if login.account is not None and run and len(run) >= min_failures:
            rows.append(_guessed(login, run, _logins(earlier)))
    return sorted(rows, key=lambda row: (row["effective_at"], row["finding"]))


def _guessed(login: Event, run: list[Event], earlier: list[Event]) -> Row:
    is_known = any(each.ip_address == login.ip_address for each in earlier) if login.ip_address is not None else None
    return {
        "finding": f"success_after_failures:{run[0].id}",
        "severity": "low" if is_known else "high" if _is_from_elsewhere(login, earlier) else "medium",
        "effective_at": instant(login.at),
        "actor": login.account,
        "resource_id": None,
        "event_ids": ids((*run, login)),
        "failures": len(run),
        "first_failure_at": instant(run[0].at),
        "failure_addresses": sorted({each.ip_address for each in run if each.ip_address is not None}),
        "ip_address": login.ip_address,
        "known_address": is_known,
        "success_event_id": login.id,
    }


def _is_from_elsewhere(login: Event, earlier: list[Event]) -> bool:
    """Say whether a login came from a network that none of the earlier ones came from, as far as they tell theirs."""
    networks = {each.asn for each in earlier if each.asn is not None}
    return None not in (login.ip_address, login.asn) and bool(networks) and login.asn not in networks


def password_spray(log: list[Event], *, min_accounts: int = 10, window_minutes: int = 60) -> list[Row]:
    """Return the attacks from one address on many accounts."""
    failures = [event for event in _strange_failures(log) if event.ip_address is not None]
    rows = [
        _sprayed(address, attack, _first_logins(log), window_minutes * MINUTE_US)
        for address, those in grouped(failures, lambda event: event.ip_address).items()
        for attack in _attacks(those, lambda event: event.account, min_accounts, window_minutes * MINUTE_US)
        if not _is_shared(address, attack, _first_logins(log))
    ]
    return sorted(rows, key=lambda row: (row["effective_at"], row["finding"]))


def _is_shared(address: str | None, attack: list[Event], first_logins: list[Event]) -> bool:
    """Say whether half of the accounts or more sign in from the address, which makes it theirs."""
    accounts = {event.account for event in attack if event.account is not None}
    at_home = {login.account for login in first_logins if login.ip_address == address}
    return 2 * len(accounts & at_home) >= len(accounts)


def _sprayed(address: str | None, attack: list[Event], first_logins: list[Event], window: int) -> Row:
    after = [login for login in _following(attack, first_logins, window) if login.ip_address == address]
    return _attack("password_spray", attack, after) | {
        "actor": None,
        "ip_address": address,
        "accounts": how_many(event.account for event in attack),
        "unknown_failures": sum(event.account is None for event in attack),
    }


def credential_stuffing(log: list[Event], *, min_addresses: int = 10, window_minutes: int = 60) -> list[Row]:
    """Return the attacks on one account from many addresses."""
    failures = [event for event in _strange_failures(log) if event.account is not None]
    rows = [
        _stuffed(account, attack, log, window_minutes * MINUTE_US)
        for account, those in grouped(failures, lambda event: event.account).items()
        for attack in _attacks(those, lambda event: event.ip_address, min_addresses, window_minutes * MINUTE_US)
    ]
    return sorted(rows, key=lambda row: (row["effective_at"], row["finding"]))


def _stuffed(account: str | None, attack: list[Event], log: list[Event], window: int) -> Row:
    before = [login for login in _logins(log) if login.account == account and login.order < attack[0].order]
    networks = {login.asn for login in before if login.asn is not None}
    own = [login for login in _following(attack, _first_logins(log), window) if login.account == account]
    return _attack("credential_stuffing", attack, [login for login in own if login.asn not in networks]) | {
        "actor": account,
        "addresses": how_many(event.ip_address for event in attack),
        "unplaced_failures": sum(event.ip_address is None for event in attack),
    }


def _attack(check: str, attack: list[Event], after: list[Event]) -> Row:
    """Return what both checks say of an attack, and of the logins that followed from it."""
    return {
        "finding": f"{check}:{attack[0].id}",
        "severity": "high",
        "effective_at": instant(attack[0].at),
        "resource_id": None,
        "event_ids": ids(attack),
        "ends_at": instant(attack[-1].at),
        "failures": len(attack),
        "succeeded": bool(after),
        "success_ids": ids(after),
    }


def _first_logins(log: list[Event]) -> list[Event]:
    """Return the first login of each account from each address."""
    placed = (login for login in _logins(log) if login.account is not None and login.ip_address is not None)
    return [logins[0] for logins in grouped(placed, lambda event: (event.account, event.ip_address)).values()]


def _strange_failures(log: list[Event]) -> list[Event]:
    """Return the failures but those of an account that had signed in from the address before."""
    since = {(login.account, login.ip_address): login.order for login in _first_logins(log)}
    return [
        failure
        for failure in _failures(log)
        if failure.order < since.get((failure.account, failure.ip_address), (failure.at + 1, ""))
    ]


def _attacks(
    failures: list[Event], varied: Callable[[Event], str | None], least: int, window: int
) -> list[list[Event]]:
    """Return the failures in windows with enough that is different; windows that share a failure are one attack."""
    attacks: list[list[Event]] = []
    for first in failures:
        inside = [failure for failure in failures if failure.order >= first.order and failure.at - first.at < window]
        if not inside or how_many(map(varied, inside)) < least:
            continue
        if attacks and inside[0] in attacks[-1]:
            attacks[-1] += [failure for failure in inside if failure.order > attacks[-1][-1].order]
        else:
            attacks.append(inside)
    return attacks


def _following(attack: Sequence[Event], first_logins: list[Event], window: int) -> list[Event]:
    """Return the first logins after the first failure, until one window after the last."""
    return [login for login in first_logins if login.order > attack[0].order and login.at - attack[-1].at < window]
