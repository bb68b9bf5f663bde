"""DESIGNING: a strategy from the user, or from a designer."""

from __future__ import annotations

from dataclasses import replace

from ktrdr.agents.designers.child import design
from ktrdr.agents.designers.proposals import DesignRequest, Trial
from ktrdr.agents.phases.training import training_of
from ktrdr.agents.workbench import Step, Workbench
from ktrdr.domain.fingerprints import derive_seed
from ktrdr.domain.sessions import AgentSession, Phase
from ktrdr.domain.strategies import parse_strategy


async def run(session: AgentSession, bench: Workbench) -> Step:
    """Decide the strategy and record the training that follows, in one step.

    The designer sees the trials that were known when the session was triggered (their ids are in
    the request), so a design that is repeated after a crash is the same design.
    """
    given = bench.operation.request.get("strategy")
    if given is not None:
        notes = "The strategy was given by the user; nothing was designed."
        designed = replace(session, strategy_config=dict(given), research_notes=notes)
    elif bench.llm is None:
        designed = await _designed_offline(session, bench)
    else:
        designed = await _designed_by_model(session, bench)
    strategy = parse_strategy(designed.strategy_config or {})
    designed = replace(designed, phase=Phase.TRAINING, strategy_config=strategy.to_config())
    child = training_of(designed)
    return Step(replace(designed, training_operation_id=child.operation_id), (child,))


async def _designed_by_model(session: AgentSession, bench: Workbench) -> AgentSession:
    from ktrdr.agents.designers.model import design_with_model  # only now: its library is optional

    found = await design_with_model(session, bench)
    return replace(
        session,
        strategy_config=found.strategy.to_config(),
        research_notes=found.research_notes,
        tests_hypothesis=found.tests_hypothesis,
    )


async def _designed_offline(session: AgentSession, bench: Workbench) -> AgentSession:
    known = [int(trial_id) for trial_id in bench.operation.request.get("known_trials", [])]
    async with bench.database.read() as tx:
        trials = await tx.ledger.by_ids(known)
    earlier = tuple(Trial(one.strategy_config, value=one.sharpe) for one in trials)
    request = DesignRequest(session.dataset, derive_seed(session.seed, "design"), earlier)
    proposal = await design(request, data=bench.catalog.root)
    return replace(
        session, strategy_config=dict(proposal.strategy_config), research_notes=proposal.research_notes
    )
