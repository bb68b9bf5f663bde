"""`python -m ktrdr.data JOB ROOT`: a request as JSON on standard input, the answer on standard output."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ktrdr.data.answering import answer
from ktrdr.data.catalog import Catalog

MEMORY_BYTES = 4 * 2**30


def main() -> int:
    """Answer one job; a refusal is an answer too."""
    job, root = sys.argv[1:3]
    catalog = Catalog(Path(root) if root else None)
    return answer(
        lambda request: _run(job, catalog, request), memory=MEMORY_BYTES, advice="Import it in parts."
    )


def _run(job: str, catalog: Catalog, request: Mapping[str, Any]) -> dict[str, Any]:
    """What computes is imported once the memory is bounded."""
    if job == "check":
        from ktrdr.data.checks import check
        from ktrdr.data.loading import load_all

        spec = catalog.get(str(request["key"]))
        return check(load_all(catalog, spec.key), spec.timeframe)
    if job == "summary":
        from ktrdr.data.summaries import summary

        return summary(catalog, str(request["key"]))
    from ktrdr.data.importing import import_file, wanted_of

    if job == "import":
        return import_file(catalog, Path(request["file"]), wanted_of(request))
    from ktrdr.data.downloading import download

    return download(catalog, request)


if __name__ == "__main__":
    sys.exit(main())
