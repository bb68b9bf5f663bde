"""`python -m tests.crash`: kill sessions hundreds of times, and print what came of it as a table."""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.crash.ledger import Miscounted
from tests.crash.research import Outcome
from tests.crash.script import ROLES, Scene, boundary_scenes, instant_scenes
from tests.crash.theatre import DATABASES, Theatre
from tests.crash.thinkers import THINKERS


@dataclass
class Tally:
    """What was seen over one database."""

    database: str
    boundaries: Counter[str] = field(default_factory=Counter)  # thinker → of its session
    sessions: Counter[str] = field(default_factory=Counter)  # thinker → how many
    kills: Counter[str] = field(default_factory=Counter)
    points: set[str] = field(default_factory=set)
    resumes: int = 0
    losses: list[str] = field(default_factory=list)
    differing: int = 0
    requests: Counter[str] = field(default_factory=Counter)  # what they were, or became
    miscounted: int = 0

    def add(self, scene: Scene, outcome: Outcome, wanted: Outcome) -> None:
        self.sessions[scene.thinker] += 1
        self.resumes += outcome.resumes
        for kill in outcome.kills:
            at_boundary = kill.partition(".")[0] in ROLES
            self.kills["boundaries" if at_boundary else kill.partition(" ")[0]] += 1
            if at_boundary:
                role, _, rest = kill.partition(".")
                life, _, where = rest.partition(" ")
                self.points.add(f"{scene.thinker} {role} {where}") if life == "0" else None
        if not outcome.equals(wanted):
            self.differing += 1
        paid = outcome.paid
        self.requests.update(sent=paid.requests, again=paid.again, lost=paid.lost, raised=paid.raised)

    def lose(self, scene: Scene, broken: BaseException, home: Path) -> None:
        self.sessions[scene.thinker] += 1
        self.losses.append(f"{''.join(traceback.format_exception(broken))}kept in {home}")
        if isinstance(broken, Miscounted):
            self.miscounted += len(broken.differences)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=1, help="draws the instants and the order of the boundaries"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="no session begins after that")
    parser.add_argument(
        "--instants", type=int, default=20, help="of each kind, sessions killed at any instant"
    )
    parser.add_argument(
        "--boundaries", type=int, default=10_000, help="of each kind, at most so many sessions killed there"
    )
    parser.add_argument("--database", choices=DATABASES, action="append", help="default: both, side by side")
    parser.add_argument(
        "--thinker",
        choices=THINKERS,
        action="append",
        help="who thinks in the sessions; default: both, in turns",
    )
    wanted = parser.parse_args()
    until = time.monotonic() + 60.0 * wanted.minutes
    with ThreadPoolExecutor(len(DATABASES)) as pool:
        tallies = [*pool.map(lambda database: run(database, wanted, until), wanted.database or DATABASES)]
    print(table(tallies))
    for tally in tallies:
        for loss in tally.losses:
            print(f"\n{tally.database}: {loss}", file=sys.stderr)
    return 1 if any(tally.losses or tally.differing for tally in tallies) else 0


def run(database: str, wanted: argparse.Namespace, until: float) -> Tally:
    """All scenes over one database, or as many as there is time for."""
    tally = Tally(database)
    theatre, stage = Theatre(database), ThreadPoolExecutor(1)
    try:
        whole, scenes = {}, []
        for thinker in wanted.thinker or THINKERS:
            chosen = random.Random(f"{wanted.seed} {database} {thinker}")
            whole[thinker], crossed = theatre.rehearse(thinker)
            tally.boundaries[thinker] = sum(map(len, crossed.values()))
            scenes += [
                islice(instant_scenes(database, chosen, thinker), wanted.instants),
                islice(boundary_scenes(crossed, chosen, thinker), wanted.boundaries),
            ]
        # In turns, so that a run which is cut short has some of each.
        for scene in _in_turns(*scenes):
            if time.monotonic() > until:
                break
            _play(theatre, stage, scene, whole[scene.thinker], tally)
    finally:
        stage.shutdown()
        theatre.close()
    return tally


def _play(theatre: Theatre, stage: Executor, scene: Scene, whole: Outcome, tally: Tally) -> None:
    """Whatever a session ends with is written down, and the run goes on."""
    played = stage.submit(
        theatre.play, plan=scene.plan, blows=scene.blows, hash_seed=scene.hash_seed, thinker=scene.thinker
    )
    broken = played.exception()
    if broken is not None:
        tally.lose(scene, broken, theatre.home)
        said = "LOST"
    else:
        outcome = played.result()
        tally.add(scene, outcome, whole)
        which = "the same" if outcome.fingerprint == whole.fingerprint else "ANOTHER"
        said = f"{len(outcome.kills)} kills, {which} fingerprint, {outcome.seconds:.0f} s"
        if outcome.paid.requests:
            said += f", {outcome.paid.requests} requests, {outcome.paid.lost} lost"
    done = tally.sessions.total()
    print(f"{tally.database} {done} ({scene.thinker}, {scene.kind}): {said}", file=sys.stderr, flush=True)


def _in_turns(*scenes: Iterator[Scene]) -> Iterator[Scene]:
    waiting = list(scenes)
    while waiting:
        for one in [*waiting]:
            scene = next(one, None)
            if scene is None:
                waiting.remove(one)
            else:
                yield scene


def table(tallies: list[Tally]) -> str:
    """The report, in Markdown."""
    rows = (
        ("sessions", lambda one: one.sessions.total()),
        ("- that a model thought for", lambda one: one.sessions["model"]),
        ("kills", lambda one: one.kills.total()),
        ("- at a commit, an fsync or a rename", lambda one: one.kills["boundaries"]),
        ("- of the backend at any instant", lambda one: one.kills["backend"]),
        ("- of the worker", lambda one: one.kills["worker"]),
        ("- of both", lambda one: one.kills["both"]),
        ("- of the database (`-m immediate`)", lambda one: one.kills["database"]),
        ("boundaries of a session, each before and after", lambda one: 2 * one.boundaries["offline"]),
        ("- of one that a model thinks for", lambda one: 2 * one.boundaries["model"]),
        ("- first lives that ended at one of these", lambda one: len(one.points)),
        ("resumes", lambda one: one.resumes),
        ("requests that reached the model", lambda one: one.requests["sent"]),
        ("- a second time: on its way when its backend was killed", lambda one: one.requests["again"]),
        ("calls that count at their worst, reserved or sent when killed", lambda one: one.requests["lost"]),
        ("budgets that ran out, were raised, and gone on with", lambda one: one.requests["raised"]),
        ("calls that journal and provider count differently", lambda one: one.miscounted),
        ("sessions that lost or repeated something", lambda one: len(one.losses)),
        ("differing fingerprints", lambda one: one.differing),
    )
    head = ["", *(one.database for one in tallies), "together"]
    lines = [head, ["---", *("--:" for _ in head[1:])]]
    for name, count in rows:
        counts = [count(one) for one in tallies]
        lines.append([name, *map(str, counts), str(sum(counts))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
