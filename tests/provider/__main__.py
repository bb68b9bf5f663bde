"""`python -m tests.provider PROTOCOL`: a provider in a process of its own, until its standard input ends.

It prints its address, and answers every request with a word.
"""

from __future__ import annotations

import sys

from tests.provider.replies import Say
from tests.provider.server import FakeProvider

if __name__ == "__main__":
    with FakeProvider(lambda _: Say("well")) as provider:
        print(provider.url(sys.argv[1]), flush=True)
        sys.stdin.read()
