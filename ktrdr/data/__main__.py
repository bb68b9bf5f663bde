"""`python -m ktrdr.data JOB ROOT`: a request as JSON on standard input, the answer on standard output."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ktrdr.data.catalog import Catalog
from ktrdr.domain.errors import DataProcessFailed, KtrdrError

MEMORY_BYTES = 4 * 2**30


def main() -> int:
    """Answer one job; a refusal is an answer too."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.umask(0o077)
    job, root = sys.argv[1:3]
    try:
        said: dict[str, Any] = {
            "answer": _run(job, Catalog(Path(root) if root else None), json.load(sys.stdin))
        }
    except KtrdrError as refused:
        said = {"error": {"code": refused.code, "message": refused.message, "details": refused.details}}
    except MemoryError:
        message = f"The file needs more than {MEMORY_BYTES // 2**30} GiB of memory. Import it in parts."
        said = {"error": {"code": DataProcessFailed.code, "message": message, "details": {}}}
    print(json.dumps(said, allow_nan=False))
    return 0


def _run(job: str, catalog: Catalog, request: Mapping[str, Any]) -> dict[str, Any]:
    """What computes is imported once the memory is bounded."""
    if job == "check":
        from ktrdr.data.checks import check
        from ktrdr.data.loading import load_all

        spec = catalog.get(str(request["key"]))
        return check(load_all(catalog, spec.key), spec.timeframe)
    from ktrdr.data.importing import import_file, wanted_of

    if job == "import":
        return import_file(catalog, Path(request["file"]), wanted_of(request))
    from ktrdr.data.downloading import download

    return download(catalog, request)


if __name__ == "__main__":
    sys.exit(main())
