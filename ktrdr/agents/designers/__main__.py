"""A design request as JSON on standard input, the design as JSON on standard output."""

from __future__ import annotations

import json
import sys

from ktrdr.agents.designers.offline import propose
from ktrdr.agents.designers.proposals import DesignRequest
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
        config, notes = propose(request.dataset, request.seed, request.trials)
    except KtrdrError as refused:
        print(refused.message, file=sys.stderr)
        return 1
    print(canonical_json({"strategy_config": config, "research_notes": notes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
