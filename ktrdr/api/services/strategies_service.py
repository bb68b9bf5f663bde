"""Strategy files: checked as text, listed and shown from the home's folder. Nothing is written."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ktrdr.domain.errors import StrategyNotFound
from ktrdr.domain.grammar.faults import fault
from ktrdr.domain.grammar.reading import MAX_BYTES
from ktrdr.domain.operations import is_safe_key
from ktrdr.domain.strategy_files import StrategyReport, report_on, report_on_text

SUFFIX = ".yaml"
MAX_FILES = 1000
TAKEN = frozenset({"schema", "template"})  # paths of the API beside the names


@dataclass(frozen=True)
class StrategyFile:
    """A file of the folder, by its name without the suffix."""

    name: str
    path: Path
    report: StrategyReport
    text: str = field(default="", repr=False)


class StrategiesService:
    """Use cases of strategy files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def validate(self, text: str | None, config: Mapping[str, Any] | None) -> StrategyReport:
        """What is wrong with a file's text, or with a strategy that was read already."""
        if text is not None:
            return await asyncio.to_thread(report_on_text, text)
        return await asyncio.to_thread(report_on, config)

    async def list(self) -> builtins.list[StrategyFile]:
        """Every file of the folder by name, each checked."""
        return await asyncio.to_thread(lambda: [self._read(name) for name in self._names()])

    async def get(self, name: str) -> StrategyFile:
        """One file. Raises StrategyNotFound."""
        names = await asyncio.to_thread(self._names)
        if name not in names:
            raise StrategyNotFound(name, names)
        return await asyncio.to_thread(self._read, name)

    def _names(self) -> builtins.list[str]:
        found = (path for path in self._folder.glob(f"*{SUFFIX}") if path.is_file())
        return sorted(path.stem for path in found if is_safe_key(path.stem))[:MAX_FILES]

    def _read(self, name: str) -> StrategyFile:
        path = self._folder / f"{name}{SUFFIX}"
        if name in TAKEN:
            return StrategyFile(name, path, StrategyReport((fault("", f"'{name}' is no name for a file"),)))
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            text = content.decode("utf-8")
        except FileNotFoundError as gone:
            raise StrategyNotFound(name, ()) from gone
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            return StrategyFile(name, path, StrategyReport((fault("", f"can't be read: {reason}"),)))
        return StrategyFile(name, path, report_on_text(text), text)
