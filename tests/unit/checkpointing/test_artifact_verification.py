"""Files are read as they lie there: no link is followed, nothing is waited for, nothing is held whole."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ktrdr.checkpointing.artifacts import (
    delete_generation,
    read_generation,
    verify_artifacts,
    write_generation,
)
from ktrdr.checkpointing.schemas import Manifest
from ktrdr.domain.errors import CheckpointCorrupted

LARGE = 24 << 20


def refused(root: Path, manifest: Manifest, read: Callable[[Path, Manifest], object]) -> CheckpointCorrupted:
    with pytest.raises(CheckpointCorrupted) as found:
        read(root, manifest)
    return found.value


@pytest.mark.parametrize("read", [verify_artifacts, read_generation])
class TestBothReaders:
    def test_a_linked_directory_is_not_followed(
        self, tmp_path: Path, read: Callable[[Path, Manifest], object]
    ) -> None:
        """Not to the very same files either: whoever made the link may change what is behind it."""
        manifest = write_generation(tmp_path, "op_1", {"tensors": b"x"})
        for name in (manifest.path, "op_1"):
            (tmp_path / name).rename(tmp_path / "elsewhere")
            (tmp_path / name).symlink_to(tmp_path / "elsewhere")
            assert refused(tmp_path, manifest, read).details["artifact"] == "tensors"
            (tmp_path / name).unlink()
            (tmp_path / "elsewhere").rename(tmp_path / name)
        read(tmp_path, manifest)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path, read: Callable[[Path, Manifest], object]) -> None:
        manifest = write_generation(tmp_path, "op_1", {"tensors": b"x"})
        (tmp_path / manifest.path / "tensors").unlink()
        os.mkfifo(tmp_path / manifest.path / "tensors")
        assert "not a plain file" in refused(tmp_path, manifest, read).message

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"1234", "4 bytes of 5"),
            (b"123456", "6 bytes of 5"),
            (b"12344", "do not match"),
            (None, "missing"),
        ],
    )
    def test_it_says_what_is_wrong(
        self, tmp_path: Path, read: Callable[[Path, Manifest], object], content: bytes | None, said: str
    ) -> None:
        manifest = write_generation(tmp_path, "op_1", {"tensors": b"12345"})
        path = tmp_path / manifest.path / "tensors"
        path.unlink() if content is None else path.write_bytes(content)
        assert said in refused(tmp_path, manifest, read).message

    def test_artifacts_that_are_gone_are_corruption(
        self, tmp_path: Path, read: Callable[[Path, Manifest], object]
    ) -> None:
        """A disk that is not mounted, say."""
        manifest = write_generation(tmp_path, "op_1", {"tensors": b"x"})
        assert refused(tmp_path / "unmounted", manifest, read).details["artifact"] == "tensors"


def test_every_bit_counts(tmp_path: Path) -> None:
    manifest = write_generation(tmp_path, "op_1", {"state.json": b'{"epoch": 1}'})
    path = tmp_path / manifest.path / "state.json"
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert refused(tmp_path, manifest, verify_artifacts).details["artifact"] == "state.json"
    path.write_bytes(content)
    verify_artifacts(tmp_path, manifest)


def test_a_link_beside_the_files_is_named(tmp_path: Path) -> None:
    """A file that is nobody's is harmless; a link is somebody's trap."""
    manifest = write_generation(tmp_path, "op_1", {"tensors": b"x"})
    (tmp_path / manifest.path / ".nfs0001").write_bytes(b"")
    verify_artifacts(tmp_path, manifest)
    (tmp_path / manifest.path / "more").symlink_to("/etc/passwd")
    found = refused(tmp_path, manifest, verify_artifacts)
    assert (found.details["artifact"], "a link" in found.message) == ("more", True)


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    manifest = write_generation(tmp_path, "op_1", {"tensors": bytes(LARGE)})
    tracemalloc.start()
    try:
        verify_artifacts(tmp_path, manifest)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LARGE / 4


def test_a_damaged_path_deletes_nothing(tmp_path: Path) -> None:
    manifest = write_generation(tmp_path / "artifacts", "op_1", {"tensors": b"x"})
    (tmp_path / "kept").mkdir()
    delete_generation(tmp_path / "artifacts", replace(manifest, path="../kept"))
    assert (tmp_path / "kept").is_dir()
