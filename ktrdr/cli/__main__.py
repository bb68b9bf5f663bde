"""`python -m ktrdr.cli`: the same as `ktrdr`."""

from ktrdr.cli.main import run

run()
