"""What lies in the artifacts folder, and how it is removed."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from ktrdr.checkpointing.artifacts import write_generation
from ktrdr.checkpointing.folders import Folder, list_folders, remove, size_of

LEFT_BEHIND = f"tmp-{'0' * 32}"


def test_what_is_written_is_listed_by_the_path_of_its_manifest(tmp_path: Path) -> None:
    """Complete generations, one that a killed writer left, and a folder with nothing in it."""
    written = [write_generation(tmp_path, owner, {"a": b"1"}).path for owner in ("op_1", "op_1.model")]
    (tmp_path / "op_2" / LEFT_BEHIND).mkdir(parents=True)
    (tmp_path / "op_3").mkdir()
    os.utime(tmp_path / written[0], (5.0, 7.0))
    found = list_folders(tmp_path)
    assert sorted(one.path for one in found) == sorted([*written, f"op_2/{LEFT_BEHIND}", "op_3"])
    assert [one.modified for one in found if one.path == written[0]] == [7.0]


def test_what_somebody_else_put_there_is_not_listed(tmp_path: Path) -> None:
    """Files, links, names that are not ours: none of it is ktrdr's to remove."""
    outside = tmp_path / "outside"
    (outside / ("a" * 32)).mkdir(parents=True)
    root = tmp_path / "artifacts"
    (root / "op_1" / "backup").mkdir(parents=True)
    (root / "op_1" / ("b" * 32)).write_bytes(b"a file")
    (root / "op_1" / ("c" * 32)).symlink_to(outside)
    (root / "op_2").symlink_to(outside)
    (root / ".snapshots" / ("d" * 32)).mkdir(parents=True)
    (root / "notes.txt").write_bytes(b"")
    assert list_folders(root) == []
    assert list_folders(tmp_path / "nowhere") == []


def test_a_removal_says_what_it_freed_and_takes_an_emptied_owner_along(tmp_path: Path) -> None:
    first = write_generation(tmp_path, "op_1", {"a": b"123", "b": b"4567"})
    second = write_generation(tmp_path, "op_1", {"a": b"1"})
    assert size_of(tmp_path, first.path) == 7
    assert remove(tmp_path, first.path) == 7
    assert [one.path for one in list_folders(tmp_path)] == [second.path]
    assert remove(tmp_path, first.path) == 0, "it is gone already"
    assert remove(tmp_path, second.path) == 1
    assert not (tmp_path / "op_1").exists()


def test_an_empty_folder_that_was_written_to_meanwhile_stays(tmp_path: Path) -> None:
    written = write_generation(tmp_path, "op_1", {"a": b"1"})
    assert remove(tmp_path, "op_1") == 0
    assert size_of(tmp_path, written.path) == 1


def test_an_empty_folder_goes_without_its_owner_being_harmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when it goes at the moment at which a generation is begun in it."""
    (tmp_path / "op_1").mkdir()
    remove(tmp_path, "op_1")
    assert not (tmp_path / "op_1").exists()
    name = uuid.uuid4()

    def named_while_a_cleanup_sweeps() -> uuid.UUID:
        remove(tmp_path, "op_1")
        return name

    monkeypatch.setattr(uuid, "uuid4", named_while_a_cleanup_sweeps)
    assert write_generation(tmp_path, "op_1", {"a": b"1"}).path == f"op_1/{name.hex}"


@pytest.mark.parametrize("path", ["", "..", "../x", "op_1/..", "op_1/a/b", "/etc", "op_1/"])
def test_nothing_beside_a_generation_is_touched(tmp_path: Path, path: str) -> None:
    root = tmp_path / "artifacts"
    written = write_generation(root, "op_1", {"a": b"1"})
    (tmp_path / "x").mkdir()
    assert (size_of(root, path), remove(root, path)) == (0, 0)
    assert size_of(root, written.path) == 1
    assert (tmp_path / "x").exists()


def test_a_folder_belongs_to_everything_it_is_named_after() -> None:
    """A model of a session's training: to the training, and to the session."""
    names = Folder("research_1.training.model", "a" * 32, 0.0).operations
    assert names == ("research_1", "research_1.training", "research_1.training.model")
