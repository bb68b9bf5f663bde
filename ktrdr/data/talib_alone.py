"""TA-Lib without pandas.

`import talib` imports pandas and polars where they are installed, to wrap its functions for their
series: a third of a second in which a worker, that has arrays only, has nothing to show.
"""

from __future__ import annotations

import sys

_absent = [name for name in ("pandas", "polars") if name not in sys.modules]
try:
    for _name in _absent:
        sys.modules[_name] = None  # type: ignore[assignment]  # the import system's "there is none"
    import talib
finally:
    for _name in _absent:
        del sys.modules[_name]

__all__ = ["talib"]
