"""How the costs of a lake grow with its events, as a plot of the last run of ``benchmarks/lake.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from docs._figures import results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "lake_growth"
_STEPS = ("flatten", "import", "merge", "verify", "events_per_actor", "login_failures", "first_seen")
_SIZE_IN = (9.0, 4.6)
_YELLOW = 4  # too pale for a line on white


def growth_lines() -> list[dict[str, Any]]:
    """Return what is drawn, a line a step, the costliest at the largest size first."""
    facts = results("lake")
    lines = [
        {
            "step": step,
            "events": [each["events"] for each in facts["figures"]],
            "took_cpu_s": [each[step]["took_cpu_s"] for each in facts["figures"]],
            "slopes": facts["slopes"][step],
        }
        for step in _STEPS
    ]
    return sorted(lines, key=lambda line: -line["took_cpu_s"][-1])


def growth_figure(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw processor time against events, both axes logarithmic, so that what is linear runs along the dashed line."""
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    colours = [colour for number, colour in enumerate(mpl.color_sequences["okabe_ito"]) if number != _YELLOW]
    for line, colour in zip(lines, colours, strict=True):
        slopes = line["slopes"]
        label = f"{slopes['all']:.2f}   {slopes['last']:.2f}   {line['step'].replace('_', ' ')}"
        ax.loglog(line["events"], line["took_cpu_s"], "o-", color=colour, markersize=4, label=label)
    first, last = lines[0]["events"][0], lines[0]["events"][-1]
    linear = [0.1, 0.1 * last / first]
    ax.loglog([first, last], linear, "--", color="#767676", linewidth=0.8, zorder=0, label="1.00   1.00   linear")
    ax.set_xlabel("events")
    ax.set_ylabel("processor time [s]")
    ax.set_title("How do the costs of a lake grow with its events?", loc="left", fontsize="large")
    figure.legend(loc="outside right upper", frameon=False, fontsize="small", title="slope: all sizes, last two")
    return figure
