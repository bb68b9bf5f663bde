"""Which kills a crash run makes: every boundary once, then instants drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.crash.research import Blow, Plan, Point, every_point

ROLES = ("backend", "training", "backtesting", "holdout")
LIVES = {
    "backend": 3,
    "training": 2,
    "backtesting": 2,
    "holdout": 2,
}  # each but the last of them ends in a kill
VICTIMS = ("backend", "worker", "both")
BLOWS = 6  # a session
LATEST_SECONDS = 4.0  # after the session was last set going
IN_FLIGHT = 3  # of the blows at a session that a model thinks for: as soon as a request has come
MOST_REQUESTS = 3  # between two of these


@dataclass(frozen=True)
class Scene:
    """What happens to one session."""

    kind: str  # boundaries or instants
    plan: Plan | None = None
    blows: tuple[Blow, ...] = ()
    hash_seed: int = 0
    thinker: str = "offline"  # or model


def boundary_scenes(
    crossed: Mapping[str, Sequence[str]], chosen: random.Random, thinker: str
) -> Iterator[Scene]:
    """Scenes in which the first life of each role ends at every boundary, before it and after it, once.

    The lives after it, which have resumed, end at boundaries that are drawn. What is paid for comes first, so
    that a run which is cut short has seen it.
    """

    def unpaid(role: str, point: Point) -> bool:
        return "llm_calls" not in crossed[role][point[0] - 1]

    points = {role: every_point(crossed[role]) for role in ROLES}
    first = {role: chosen.sample(points[role], len(points[role])) for role in ROLES}
    for role, order in first.items():
        order.sort(key=partial(unpaid, role))
    for number in range(max(len(one) for one in first.values())):
        plan: dict[str, list[Point]] = {}
        for role in ROLES:
            begins = first[role][number] if number < len(first[role]) else chosen.choice(points[role])
            plan[role] = [begins, *chosen.choices(points[role], k=LIVES[role] - 1)]
        yield Scene("boundaries", plan=plan, hash_seed=1 + number % 2, thinker=thinker)


def instant_scenes(database: str, chosen: random.Random, thinker: str) -> Iterator[Scene]:
    """Scenes with kills at any instant; PostgreSQL itself is among the victims."""
    victims = (*VICTIMS, "database") if database == "postgresql" else VICTIMS
    number = 0
    while True:
        number += 1
        blows = [Blow(chosen.choice(victims), chosen.uniform(0.05, LATEST_SECONDS)) for _ in range(BLOWS)]
        if thinker == "model":
            blows[:IN_FLIGHT] = _in_flight(database, chosen)
        yield Scene("instants", blows=tuple(blows), hash_seed=1 + number % 2, thinker=thinker)


def _in_flight(database: str, chosen: random.Random) -> Iterator[Blow]:
    victims = ("backend", "database") if database == "postgresql" else ("backend",)
    requests = 0
    for _ in range(IN_FLIGHT):
        requests += chosen.randint(1, MOST_REQUESTS)
        yield Blow(chosen.choice(victims), requests=requests)
