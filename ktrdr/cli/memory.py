"""`ktrdr research memory`: what sessions have left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from ktrdr.cli.quantities import many
from ktrdr.cli.render import coloured, console, number, table


def memory(found: Mapping[str, Any]) -> None:
    """Experiments and hypotheses, for a person."""
    experiments: Sequence[Mapping[str, Any]] = found["experiments"]
    table(
        ("EXPERIMENT", "SESSION", "STRATEGY", "SHARPE", "VERDICT", "LESSON"),
        (
            (
                str(one["trial_id"]),
                str(one["session_id"] or "-"),
                escape(one["strategy_name"]),
                number(one["validation"].get("sharpe"), ".2f"),
                coloured(one["verdict"]),
                escape(one["lesson"] or "-"),
            )
            for one in experiments
        ),
        empty="No session has completed yet. Start one: ktrdr research start",
    )
    if found["trials"] > len(experiments):
        console.print(f"\n{many(experiments, 'experiment')} of {found['trials']}; see more with --limit.")
    if not found["hypotheses"]:
        return
    console.print()
    table(
        ("HYPOTHESIS", "STATUS", "FROM", "TESTED BY", "STATEMENT"),
        (
            (
                str(one["hypothesis_id"]),
                coloured(one["status"]),
                str(one["session_id"] or "-"),
                ", ".join(map(str, one["tested_by"])) or "-",
                escape(one["statement"]),
            )
            for one in found["hypotheses"]
        ),
        empty="",
    )
