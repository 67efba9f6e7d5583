"""What a report's SQL may say: the subset of SQL that other engines answer alike, checked on its syntax tree.

Source: constructs that were run on DuckDB and on Spark and compared value by value.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import TokenType, exp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Test = Callable[[exp.Expr], bool]

_DIALECT = "duckdb"
_DAYS_OF_WEEK = frozenset({"DOW", "ISODOW", "DAYOFWEEK", "WEEKDAY"})

REFUSED: Mapping[str, tuple[Test, str]] = {
    "qualify": (lambda node: isinstance(node, exp.Qualify), "Number the rows in a subquery and filter it."),
    "distinct on": (
        lambda node: isinstance(node, exp.Distinct) and bool(node.args.get("on")),
        "Number the rows in a subquery and keep the first.",
    ),
    "asof join": (
        lambda node: isinstance(node, exp.Join) and node.method.upper() == "ASOF",
        "Order both sides in one window function.",
    ),
    "unnest beside CROSS JOIN": (
        lambda node: isinstance(node, exp.Unnest | exp.Explode) and not _is_cross_joined(node),
        "CROSS JOIN unnest(x) AS u(s).",
    ),
    "day of week": (
        lambda node: isinstance(node, exp.Extract) and node.name.upper() in _DAYS_OF_WEEK,
        "Count days since 1970-01-01, a Thursday.",
    ),
    "columns, exclude, replace": (
        lambda node: isinstance(node, exp.Star) and any(node.args.values()),
        "Name the columns.",
    ),
    "union by name": (
        lambda node: isinstance(node, exp.SetOperation) and bool(node.args.get("by_name")),
        "Name the columns of both sides in one order.",
    ),
    "random": (lambda node: isinstance(node, exp.TableSample), "An answer is the same each time."),
    "the clock": (
        lambda node: isinstance(node, exp.CurrentTimestamp | exp.CurrentDate | exp.CurrentTime),
        "Make it a parameter.",
    ),
}
"""By construct: how its node shows, and what to write instead."""

REFUSED_FUNCTIONS: Mapping[str, tuple[frozenset[str], str]] = {
    "date_diff": (frozenset({"date_diff", "datediff", "date_sub", "datesub"}), "Subtract epoch seconds."),
    "day of week": (
        frozenset({"dayofweek", "isodow", "dayname", "weekday"}),
        "Count days since 1970-01-01, a Thursday.",
    ),
    "medians and quantiles": (
        frozenset(
            {
                "approx_quantile",
                "mad",
                "median",
                "percentile_cont",
                "percentile_disc",
                "quantile",
                "quantile_cont",
                "quantile_disc",
            }
        ),
        "row_number() and count(*) OVER.",
    ),
    "len": (frozenset({"len"}), "cardinality of a list, length of a text."),
    "table functions": (frozenset({"generate_series", "range"}), "A relation of what there is."),
    "columns, exclude, replace": (frozenset({"columns"}), "Name the columns."),
    "log": (frozenset({"log"}), "ln, divided by ln of the base."),
    "random": (frozenset({"random", "rand", "uuid", "gen_random_uuid"}), "An answer is the same each time."),
    "the clock": (frozenset({"now", "today", "current_timestamp", "current_date"}), "Make it a parameter."),
}
"""The same of functions, by their names as they are written: the tree does not tell len from length."""


def refused_in(sql: str) -> list[str]:
    """Return what in a query other engines answer differently, or not at all; and what to write instead."""
    functions = set(_functions_in(sql))
    nodes = list(sqlglot.parse_one(sql, read=_DIALECT).walk())
    found = {name: instead for name, (test, instead) in REFUSED.items() if any(map(test, nodes))}
    found |= {name: instead for name, (names, instead) in REFUSED_FUNCTIONS.items() if names & functions}
    return [f"{name}: {instead}" for name, instead in sorted(found.items())]


def _functions_in(sql: str) -> Iterator[str]:
    """Yield the name before each opening parenthesis, in lower case."""
    tokens = sqlglot.tokenize(sql, read=_DIALECT)
    for token, following in pairwise(tokens):
        if following.token_type == TokenType.L_PAREN and token.token_type != TokenType.STRING:
            yield token.text.lower()


def _is_cross_joined(node: exp.Expr) -> bool:
    return isinstance(node.parent, exp.Join) and node.parent.kind.upper() == "CROSS"
