"""What a person copies from the terminal is whole."""

from __future__ import annotations

import pytest
from rich.console import Console

from ktrdr.cli import render


def test_an_id_is_never_cut_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Console(width=60, record=True, highlight=False)
    monkeypatch.setattr(render, "console", narrow)
    operation_id = "research_114b691374d7.backtesting"
    render.table(
        ("OPERATION", "STATUS", "CHECKPOINT"),
        [(operation_id, "[red]FAILED[/red]", "TRAINING, training epoch 1267 of a long one")],
        empty="nothing",
    )
    assert operation_id in narrow.export_text()


def test_nothing_to_show_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Console(width=60, record=True)
    monkeypatch.setattr(render, "console", recorded)
    render.table(("OPERATION",), [], empty="No operations.")
    assert recorded.export_text().strip() == "No operations."
