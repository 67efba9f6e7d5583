"""Finding the trouble: doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from auditframe.cli import FOUND, NOT_AUTHORISED
from auditframe.cli._options import json_option, optional_lake_option, run_options
from auditframe.cli._output import print_data, print_summary, say
from auditframe.client import Client
from auditframe.doctor import BRIEF, PROBES, examine, probe
from auditframe.text import inert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditframe.doctor import Finding

_AUTHORITY = ("key", "scope")


@click.command()
@optional_lake_option
@click.option("--probe", "is_probing", is_flag=True, help=f"Ask {PROBES} times more how the endpoint behaves.")
@json_option
@run_options
def doctor(*, lake: str | None, is_probing: bool, as_json: bool) -> None:
    """Say which of key, scope, logging, network, clock or lake is the trouble.

    It only reads: one request a scope, and with --probe a few more, which record how the endpoint behaves where its
    documentation is silent. What it writes holds no key, no event and no id of one. The exit code is 5 when the key or
    its scope is the trouble, and 4 for any other.

    \b
    auditframe doctor --lake lake
    auditframe doctor --probe --json
    """  # noqa: D301 - click reads \b as "keep these lines"
    findings = examine(lambda: Client(retry=BRIEF), lake or None)
    troubles = [finding for finding in findings if finding.verdict == "trouble"]
    facts = _probed() if is_probing and not _hide_the_endpoint(troubles) else None
    if as_json:
        print_summary({"findings": [asdict(finding) for finding in findings], "probe": facts})
    else:
        _tell(findings, facts)
    if troubles:
        raise click.exceptions.Exit(NOT_AUTHORISED if any(each.check in _AUTHORITY for each in troubles) else FOUND)


def _probed() -> dict[str, Any]:
    say(f"Asking the endpoint {PROBES} times more; nothing is changed there.")
    with Client(retry=BRIEF) as client:
        return probe(client)


def _hide_the_endpoint(troubles: Sequence[Finding]) -> bool:
    return any(finding.check in ("network", *_AUTHORITY) for finding in troubles)


def _tell(findings: Sequence[Finding], facts: dict[str, Any] | None) -> None:
    for finding in findings:
        print_data(inert(f"{finding.verdict:<9}{finding.check:<9}{' '.join(finding.seen.split())}"))
        if finding.advice:
            print_data(inert(f"{'':<18}{finding.advice}"))
    for name, value in (facts or {}).items():
        print_data(inert(f"{name:<26}{value}"))
