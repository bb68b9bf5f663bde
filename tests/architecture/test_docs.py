"""What the documents say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ktrdr.domain.operations import BACKEND_RESTARTED, orphan_message, state_diagram
from ktrdr.settings import Settings

ROOT = Path(__file__).parents[2]
MARKED = re.compile(
    r"<!-- state-diagram:begin -->\n```mermaid\n(.*?)\n```\n<!-- state-diagram:end -->", re.DOTALL
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_state_diagram_is_the_transition_table() -> None:
    """docs/architecture.md holds what ktrdr.domain.operations.state_diagram() returns, to the letter."""
    assert MARKED.findall(text_of("docs/architecture.md")) == [state_diagram()]


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_the_restart_messages_are_documented(has_checkpoint: bool) -> None:
    """Clients match on these sentences, so the architecture names them exactly."""
    assert orphan_message(BACKEND_RESTARTED, has_checkpoint=has_checkpoint) in text_of("docs/architecture.md")


def test_the_first_screen_has_exactly_two_commands() -> None:
    """A newcomer needs one command to see the product work and one to see its tests pass."""
    first_screen = "\n".join(text_of("README.md").splitlines()[:30])
    blocks = re.findall(r"```sh\n(.*?)```", first_screen, re.DOTALL)
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert commands == ["make demo", "make test"]


def test_the_readme_lists_every_setting_and_no_other() -> None:
    """The rows of its table are the fields of Settings."""
    listed = re.findall(r"^\| `KTRDR_([A-Z_]+)`", text_of("README.md"), re.MULTILINE)
    assert listed == [name.upper() for name in Settings.model_fields]


def test_continuous_integration_runs_the_two_commands() -> None:
    lines = [line for line in text_of(".ci/run").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -euo pipefail"
    assert lines[-3:] == ["make demo", "make test", "make test-ray"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(document: Path) -> None:
    """No document sends anyone to a target that is not there."""
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", text_of("Makefile"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z][a-z0-9-]*)", document.read_text(encoding="utf-8")))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document: Path) -> None:
    """Every path in backticks below ktrdr/, tests/, docs/ or scripts/, and every link, leads somewhere."""
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:ktrdr|tests|docs|scripts|benchmarks)/[\w./-]+)`", text)
    missing = [one for one in named if not (ROOT / one).exists()]
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing += [one for one in links if not (document.parent / one).exists()]
    assert missing == []


def test_every_decision_has_a_number_and_a_status() -> None:
    """docs/adr is numbered without gaps, and each record says what was decided and what follows."""
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [record.name[:4] for record in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    for record in records:
        headings = re.findall(r"^## (.+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], record.name
