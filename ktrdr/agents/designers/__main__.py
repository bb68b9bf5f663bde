"""A design request as JSON on standard input, the design as JSON on standard output.

The one argument, when there is one, is the folder of imported data sets.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ktrdr.agents.designers.offline import propose
from ktrdr.agents.designers.proposals import DesignRequest
from ktrdr.data.catalog import Catalog
from ktrdr.domain.errors import KtrdrError
from ktrdr.domain.fingerprints import canonical_json


def main() -> int:
    """0: answered; 1: no design for this request; 2: not a request."""
    try:
        request = DesignRequest.from_json(json.load(sys.stdin))
    except (ValueError, TypeError) as wrong:
        print(f"not a design request: {wrong}", file=sys.stderr)
        return 2
    try:
        spec = Catalog(Path(sys.argv[1]) if len(sys.argv) > 1 else None).get(request.dataset)
        config, notes = propose(spec, request.seed, request.trials)
    except KtrdrError as refused:
        print(refused.message, file=sys.stderr)
        return 1
    print(canonical_json({"strategy_config": config, "research_notes": notes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
