from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktrdr.agents.designers.child import design
from ktrdr.agents.designers.grammar_space import LAYERS, OSCILLATORS, config_of, params_of
from ktrdr.agents.designers.offline import SPACE, propose
from ktrdr.agents.designers.proposals import Design, DesignRequest, Trial
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.fingerprints import canonical_json
from ktrdr.domain.market import NASDAQ
from ktrdr.domain.strategies import parse_strategy

PARAMS = st.fixed_dictionaries(
    {
        "oscillator": st.sampled_from(sorted(OSCILLATORS)),
        "oscillator_period": st.integers(5, 30),
        "band": st.sampled_from([15, 20, 25, 30, 35, 40]),
        "fast_roc": st.integers(1, 10),
        "slow_roc": st.integers(15, 90),
        "trend_strength": st.booleans(),
        "horizon": st.integers(1, 20),
        "layers": st.sampled_from(sorted(LAYERS)),
        "dropout": st.integers(0, 40).map(lambda x: x / 100),
        "learning_rate": st.sampled_from([0.0003, 0.00123, 0.01]),
        "confidence": st.integers(34, 50).map(lambda x: x / 100),
    }
)


def campaign(length: int, seed: int = 1) -> list[Trial]:
    """Trials as a ledger holds them: each proposed by the designer, valued by its horizon."""
    trials: list[Trial] = []
    for number in range(length):
        config, _ = propose(NASDAQ, seed + number, trials)
        params = params_of(config)
        assert params is not None
        trials.append(Trial(parse_strategy(config).to_config(), {}, -abs(params["horizon"] - 5) / 5))
    return trials


def python(source: str) -> tuple[str, ...]:
    return (sys.executable, "-c", source)


def ask(request: DesignRequest, **how: Any) -> Design:
    return asyncio.run(design(request, **how))


@settings(deadline=None)
@given(PARAMS)
def test_every_strategy_of_the_space_is_valid_and_reads_back(params: dict[str, Any]) -> None:
    """The one validator takes it, and its canonical form still says what it was made from."""
    assert set(params) == set(SPACE)
    config = config_of(NASDAQ, params)
    assert params_of(config) == params
    assert params_of(parse_strategy(config).to_config()) == params


def test_the_same_request_has_the_same_design() -> None:
    """Nothing but the arguments decides: a design repeated after a crash is the same design."""
    trials = campaign(10)
    first, again = propose(NASDAQ, 7, trials), propose(NASDAQ, 7, trials)
    assert canonical_json(first) == canonical_json(again)
    assert propose(NASDAQ, 8, trials)[0] != first[0]


def test_results_direct_the_search() -> None:
    """After many trials that reward a short horizon, proposals come closer to it than random ones."""
    trials = campaign(40)

    def distance(known: list[Trial]) -> float:
        found = [params_of(propose(NASDAQ, seed, known)[0]) for seed in range(100, 120)]
        return float(sum(abs(params["horizon"] - 5) for params in found if params)) / 20

    assert distance(trials) < 0.7 * distance([])


def test_a_strategy_that_was_tried_is_not_proposed_again() -> None:
    """Also when it was tried without a result, and the same seed asks."""
    first, _ = propose(NASDAQ, 3, [])
    second, notes = propose(NASDAQ, 3, [Trial(first, {}, None)])
    assert params_of(first) != params_of(second)
    assert "1 earlier trials had no result" in notes


def test_trials_without_a_number_teach_nothing() -> None:
    """None, NaN, infinity and strategies of others are counted, and change no proposal."""
    first, _ = propose(NASDAQ, 4, [])
    other, _ = propose(NASDAQ, 5, [])
    useless = [Trial(other, {}, value) for value in (None, math.nan, math.inf)]
    useless += [Trial({"name": "by_hand"}, {}, 3.0), Trial(other, {"lr": 1}, 2.0)]
    proposed, notes = propose(NASDAQ, 4, useless)
    assert proposed == first
    assert "5 earlier trials" in notes


def test_only_development_data_is_named() -> None:
    """The strategy ends where development ends, and trials have no field for anything later."""
    config, _ = propose(NASDAQ, 6, [])
    assert config["training_data"]["date_range"]["end"] == NASDAQ.development_end.isoformat()
    trial = {"strategy_config": config, "params": {}, "value": 1.0, "holdout_sharpe": 2.0}
    with pytest.raises(ValueError, match="holdout_sharpe"):
        DesignRequest.from_json({"dataset": "nasdaq", "seed": 1, "trials": [trial]})


def test_the_child_answers_what_the_designer_answers() -> None:
    """Through a process and JSON twice: the same design, with values that are no numbers on the way."""
    trials = (*campaign(9), Trial({"name": "by_hand"}, {}, math.nan))
    config, notes = propose(NASDAQ, 11, trials)
    answer = ask(DesignRequest("nasdaq", 11, trials))
    assert answer == Design(config, notes)


def test_asking_imports_no_optuna_here() -> None:
    """The backend stays small: only the child knows the sampler."""
    source = (
        "import sys, ktrdr.agents.designers.child; sys.exit(bool({'optuna', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run(python(source), check=False).returncode == 0


def test_a_refusal_arrives_as_a_failed_step() -> None:
    """The session's row says what the child said."""
    with pytest.raises(StepFailed, match="There is no data set 'sp500'") as failed:
        ask(DesignRequest("sp500", 1))
    assert failed.value.step_code == "DESIGN_FAILED"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys; sys.exit('\\n'.join(map(str, range(9))))", "exited with 1: 4\n5\n6\n7\n8$"),
        ("import os; os._exit(3)", "exited with 3: it said nothing"),
        ("print('hello')", "is no design"),
        ("print('[1]')", "is no design"),
        ("print('{\"strategy_config\": {}}')", "is no design"),
        ("import os; os.kill(os.getpid(), 9)", "exited with -9"),
    ],
)
def test_a_child_that_fails_is_a_failed_step(source: str, message: str) -> None:
    """Its last five lines are enough to see why."""
    with pytest.raises(StepFailed, match=message):
        ask(DesignRequest("nasdaq", 1), command=python(source))


def test_a_request_that_is_none_is_refused() -> None:
    """Standard input that holds something else: exit status 2 and one sentence."""
    command = (sys.executable, "-m", "ktrdr.agents.designers")
    done = subprocess.run(command, input='{"seed": 1}', capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a design request has the keys" in done.stderr


def test_a_provider_key_does_not_reach_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is a short list."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("KTRDR_TOKEN", "secret")
    source = "import json, os; print(json.dumps({'strategy_config': dict(os.environ), 'research_notes': ''}))"
    assert "secret" not in ask(DesignRequest("nasdaq", 1), command=python(source)).strategy_config.values()


def test_a_slow_child_is_ended() -> None:
    """The call returns after its time limit, and the process is gone."""
    begin = time.monotonic()
    with pytest.raises(StepFailed, match=r"longer than 0\.2 s"):
        ask(DesignRequest("nasdaq", 1), command=python("import time; time.sleep(60)"), timeout=0.2)
    assert time.monotonic() - begin < 10


def test_a_cancelled_design_leaves_no_child(tmp_path: Any) -> None:
    """Shutting down does not leave a process behind."""
    mark = tmp_path / "pid"
    source = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(60)"

    async def scenario() -> int:
        task = asyncio.create_task(design(DesignRequest("nasdaq", 1), command=python(source)))
        async with asyncio.timeout(20):
            while not (mark.exists() and mark.read_text().endswith(".")):
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return int(mark.read_text()[:-1])

    pid = asyncio.run(scenario())
    alive = subprocess.run(("ps", "-p", str(pid)), capture_output=True, check=False).returncode == 0
    assert not alive


def test_a_request_survives_json() -> None:
    """What the child reads is what was asked."""
    request = DesignRequest("nasdaq", 2**62, tuple(campaign(2)))
    assert DesignRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
