"""What a session's model was paid, by the journal and by the provider's own count."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from ktrdr.persistence.tables import llm_calls
from ktrdr.persistence.unit_of_work import Database
from tests.provider.replies import Asked, Served
from tests.provider.sessions import purpose_of

RATE = {"input": 5.0, "output": 25.0}  # US dollars per million tokens
CLOCKS_SECONDS = 0.01  # the database's clock and the provider's are one; SQLite's has milliseconds
USD = 1e-9

Place = tuple[str, int]  # a conversation, and how-manieth of its requests


@dataclass(frozen=True)
class Call:
    """A row of the journal with its times."""

    purpose: str
    sequence: int
    number: int
    request_sha256: str
    status: str
    worst_usd: float
    cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    reserved_at: float
    ended_at: float | None


@dataclass(frozen=True)
class Paid:
    """What one session's model was asked."""

    requests: int = 0  # that reached the provider
    again: int = 0  # of these, sent though the same one had been sent before
    lost: int = 0  # calls that count at their worst
    spent_usd: float = 0.0
    raised: int = 0  # how often its budget ran out
    asked: Mapping[str, str] = field(default_factory=dict)  # place → the request's hash


class Miscounted(AssertionError):
    """Journal and provider do not agree."""

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = tuple(differences)


def audit(url: str, served: Sequence[Served], *, deaths: int, shown_usd: Sequence[float]) -> Paid:
    """Compare them once the session is COMPLETED and its backend has stopped. Raises Miscounted.

    `deaths` are the kills after which a call that was on its way may be LOST; `shown_usd` is the session's
    spend as the API gives it.
    """
    calls = asyncio.run(_calls(url))
    differences = [*_differences(calls, served, deaths), *_misspent(calls, served, shown_usd)]
    if differences:
        raise Miscounted(differences)
    places = {_place(one.asked) for one in served}
    return Paid(
        requests=len(served),
        again=len(served) - len(places),
        lost=sum(one.status == "LOST" for one in calls),
        spent_usd=_spent(calls),
        asked={f"{one.purpose} {one.sequence}": one.request_sha256 for one in calls},
    )


async def _calls(url: str) -> list[Call]:
    database = Database(url)
    names = [*Call.__dataclass_fields__]
    columns = [llm_calls.c["try" if name == "number" else name].label(name) for name in names]
    try:
        async with database.read() as tx:
            rows = (await tx.connection.execute(select(*columns).order_by(llm_calls.c.call_id))).mappings()
            return [Call(**row) for row in rows]
    finally:
        await database.close()


def _place(asked: Asked) -> Place:
    return purpose_of(asked), asked.answers + 1


def _differences(calls: Sequence[Call], served: Sequence[Served], deaths: int) -> Iterator[str]:
    rows: dict[Place, list[Call]] = defaultdict(list)
    came: dict[Place, list[Served]] = defaultdict(list)
    for call in calls:
        rows[call.purpose, call.sequence].append(call)
    for one in sorted(served, key=lambda one: one.arrived_at):
        came[_place(one.asked)].append(one)
    for place in sorted({*rows, *came}):
        for what in (*_of_journal(rows[place]), *_of_provider(rows[place], came[place])):
            yield f"{place[0]} {place[1]}: {what}"
    lost = sum(one.status == "LOST" for one in calls)
    if lost > deaths:
        yield f"{lost} calls are LOST after {deaths} kills"


def _of_journal(rows: Sequence[Call]) -> Iterator[str]:
    """Each request was recorded once, at its last try; every try before it was lost with its backend."""
    if [one.status for one in rows] != [*["LOST"] * (len(rows) - 1), "RECORDED"]:
        yield f"the journal has {[one.status for one in rows]}"
    if [one.number for one in rows] != [*range(1, len(rows) + 1)]:
        yield f"the journal has the tries {[one.number for one in rows]}"
    if len({one.request_sha256 for one in rows}) > 1:
        yield "the same place in the conversation has two requests"


def _of_provider(rows: Sequence[Call], came: Sequence[Served]) -> Iterator[str]:
    """Each request that came has a row of its own, reserved before it and not ended before it."""
    taken: dict[int, Served] = {}
    for one in came:
        reserved = [at for at, row in enumerate(rows) if row.reserved_at <= one.arrived_at + CLOCKS_SECONDS]
        if not reserved:
            yield "a request was sent before it was reserved"
            continue
        row = rows[reserved[-1]]
        if reserved[-1] in taken:
            yield f"a request was sent twice for one row, which is {row.status}"
        elif row.ended_at is not None and one.arrived_at > row.ended_at + CLOCKS_SECONDS:
            yield f"a request was sent after its row was {row.status}"
        taken[reserved[-1]] = one
    for at, row in enumerate(rows):
        if row.status == "RECORDED":
            billed = (taken[at].input_tokens, taken[at].output_tokens) if at in taken else None
            if billed != (row.input_tokens, row.output_tokens):
                yield f"{(row.input_tokens, row.output_tokens)} tokens are recorded and {billed} are billed"
    if len({_sha256(one.asked) for one in came}) > 1:
        yield "what was sent again was another request"


def _misspent(calls: Sequence[Call], served: Sequence[Served], shown_usd: Sequence[float]) -> Iterator[str]:
    spent = _spent(calls)
    for shown in shown_usd:
        if abs(shown - spent) > USD:
            yield f"${shown} are shown and the journal's sum is ${spent}"
    for call in calls:
        if call.status == "LOST" and call.cost_usd != call.worst_usd:
            yield f"a lost call counts as ${call.cost_usd}, and may have cost ${call.worst_usd}"
        elif call.cost_usd is None or call.cost_usd > call.worst_usd:
            yield f"a call of ${call.cost_usd} was reserved at ${call.worst_usd}"
    billed = sum(_usd(one.input_tokens, one.output_tokens) for one in served)
    if billed > spent + USD:
        yield f"the provider bills ${billed} and ${spent} are counted"
    recorded = [one for one in calls if one.status == "RECORDED"]
    tokens = [_usd(one.input_tokens or 0, one.output_tokens or 0) for one in recorded]
    if abs(sum(tokens) - sum(one.cost_usd or 0.0 for one in recorded)) > USD:
        yield "the recorded costs are not those of the recorded tokens"


def _spent(calls: Sequence[Call]) -> float:
    """Not by the product's own rule, which is what is tried."""
    return sum(one.worst_usd if one.status == "LOST" else one.cost_usd or 0.0 for one in calls)


def _usd(input_tokens: int, output_tokens: int) -> float:
    return (input_tokens * RATE["input"] + output_tokens * RATE["output"]) / 1e6


def _sha256(asked: Asked) -> str:
    return hashlib.sha256(json.dumps(asked.body, sort_keys=True).encode()).hexdigest()
