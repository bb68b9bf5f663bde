"""What an operation came to, for a person: the tables of a training, or those of a backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from ktrdr.cli.render import coloured, console, number, pairs, table
from ktrdr.cli.reports import report

SEGMENTS = {
    "test": "Test: rows that nothing had looked at",
    "validation": "Validation: rows that were watched while learning",
}
EPOCH_COLUMNS = {
    "network": ("NETWORK", "d"),
    "epoch": ("EPOCH", "d"),
    "loss": ("LOSS", ".4f"),
    "accuracy": ("ACCURACY", ".1%"),
    "validation_loss": ("VAL. LOSS", ".4f"),
    "validation_accuracy": ("VAL. ACCURACY", ".1%"),
    "learning_rate": ("LEARNING RATE", ".3g"),
}


def results(operation: Mapping[str, Any]) -> None:
    """The tables of a training or a backtest that has completed; nothing of another operation, or of an
    older ktrdr's training."""
    result = operation["result"]
    if operation["operation_type"] == "backtesting":
        report(operation)
        return
    if operation["operation_type"] != "training" or result is None or "networks" not in result:
        return
    metrics = result["metrics"]
    for name, title in SEGMENTS.items():
        figures = metrics.get(name)
        if figures is not None:
            console.print(f"\n[bold]{title}[/bold] ({figures['rows']})")
            _figures(figures, metrics["chance"])
    console.print("\n[bold]Model[/bold]")
    _model(result)


def ending(operation: Mapping[str, Any]) -> None:
    """How an operation that did not complete ended, and how to go on."""
    said = operation["error_message"] or ""
    code = f"{operation['error_code']}: " if operation["error_code"] else ""
    console.print(f"{coloured(operation['status'])} {escape(code + said)}", soft_wrap=True)
    if operation["resumable"]:
        command = f"ktrdr operations resume {operation['operation_id']}"
        console.print(f"Go on from its checkpoint: {escape(command)}", soft_wrap=True)


def epochs(history: Mapping[str, Any]) -> None:
    """The per-epoch history, a row an epoch."""
    shown = history["epochs"]
    rows = ([number(one[name], form) for name, (_, form) in EPOCH_COLUMNS.items()] for one in shown)
    table([title for title, _ in EPOCH_COLUMNS.values()], rows, empty="No epoch has ended yet.")
    if len(shown) < history["epochs_run"]:
        console.print(f"\nThe last {len(shown)} of {history['epochs_run']} epochs; --last shows more.")


def _figures(figures: Mapping[str, Any], chance: float) -> None:
    """What one segment came to: of classes, or of a regression."""
    direction = (
        f"{number(figures['directional_accuracy'], '.1%')} of {figures['directional_rows']} calls "
        "(50.0% by chance)"
    )
    balanced = f"{number(figures['balanced_accuracy'], '.1%')} ({chance:.1%} by chance)"
    if "per_class" not in figures:
        pairs(
            {
                "mean absolute error": f"{figures['mae']:.3g} ({figures['baseline_mae']:.3g} for the mean)",
                "root mean squared error": f"{figures['rmse']:.3g}",
                "R²": number(figures["r2"], "+.4f"),
                "correlation": number(figures["correlation"], "+.4f"),
                "direction": direction,
                "balanced direction": balanced,
            }
        )
        return
    majority = number(figures["majority_accuracy"], ".1%")
    pairs(
        {
            "accuracy": f"{number(figures['accuracy'], '.1%')} ({majority} for the largest class)",
            "balanced accuracy": balanced,
            "log loss": number(figures["log_loss"], ".4f"),
            "Brier score": number(figures["brier_score"], ".4f"),
            "calibration error": number(figures["expected_calibration_error"], ".4f"),
            "direction": direction,
        }
    )
    console.print()
    _classes(figures["per_class"], figures["confusion_matrix"])


def _classes(per_class: Mapping[str, Mapping[str, Any]], confusion: Sequence[Sequence[int]]) -> None:
    """One row a true class: how well it is found, and what its rows were taken for."""
    rows = (
        [
            escape(name),
            *(number(one[figure], ".1%") for figure in ("precision", "recall", "f1")),
            str(one["support"]),
            *(str(count) for count in counts),
        ]
        for (name, one), counts in zip(per_class.items(), confusion, strict=True)
    )
    taken = [f"AS {escape(name.upper())}" for name in per_class]
    table(("CLASS", "PRECISION", "RECALL", "F1", "ROWS", *taken), rows, empty="")


def _model(result: Mapping[str, Any]) -> None:
    networks = result["networks"]
    kept = [one["best_epoch"] or one["epochs_run"] for one in networks]
    span = f"{min(kept)} to {max(kept)}" if min(kept) < max(kept) else str(kept[0])
    pairs(
        {
            "file": f"$KTRDR_HOME/artifacts/{result['model']['path']}/tensors.safetensors",
            "networks": f"{len(networks)}, {result['epochs_run']} epochs on {result['device']}",
            "kept": f"the networks of epoch {span}",
            "features": ", ".join(result["features"]),
            "weights": result["weights_sha256"],
        }
    )
