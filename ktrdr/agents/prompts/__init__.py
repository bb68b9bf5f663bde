"""What language models are told, as Markdown files. A file's hash is its version."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

DESIGNER, ASSESSOR = "designer", "assessor"
NAMES = (DESIGNER, ASSESSOR)


@cache
def prompt(name: str) -> str:
    """One prompt, as this process began with it."""
    return (Path(__file__).parent / f"{name}.md").read_text(encoding="utf-8")


def prompt_sha256(name: str) -> str:
    return hashlib.sha256(prompt(name).encode()).hexdigest()
