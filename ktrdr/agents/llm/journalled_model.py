"""A model whose every request goes through the journal."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_ai.exceptions import AgentRunError, UserError
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from ktrdr.agents.llm.failures import UNAVAILABLE, Failure, failure_of
from ktrdr.agents.llm.journal import Journal, Replayed, Reserved
from ktrdr.agents.llm.pricing import Prices
from ktrdr.agents.llm.requests import canonical
from ktrdr.agents.llm.waiting import Patience
from ktrdr.agents.workbench import Interrupted
from ktrdr.domain.calls import Answer
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.fingerprints import canonical_json

POLL_SECONDS = 0.5
GRACE_SECONDS = 10.0  # an answer that is on its way is paid for: it is waited for so long when we are to stop


class JournalledModel(WrapperModel):
    """One conversation: its n-th request is the n-th of the journal."""

    def __init__(
        self,
        wrapped: Model,
        journal: Journal,
        *,
        name: str,
        prices: Prices,
        patience: Patience,
        timeout: float,
        max_output_tokens: int,
        redact: Callable[[str], str],
    ) -> None:
        super().__init__(wrapped)
        self._journal = journal
        self._name = name
        self._prices = prices
        self._patience = patience
        self._timeout = timeout
        self._max_output_tokens = max_output_tokens
        self._redact = redact
        self._sequence = 0
        self._last: tuple[dict[str, Any], int, int] | None = None  # a request, its bytes and its tokens

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The answer of the journal, or of the provider once there is room for it in the budgets.

        Raises StepFailed when the provider refuses, stays unavailable, or the budget is exhausted, and
        Interrupted when the attempt is to stop.
        """
        self._sequence += 1
        settings = self._bounded(model_settings)
        asked = canonical(self._name, messages, settings, model_request_parameters)
        text = canonical_json(asked).encode()
        sha256 = hashlib.sha256(text).hexdigest()
        worst = self._prices.worst(self._most_tokens(asked, len(text)), settings["max_tokens"])
        failures, waited = 0, 0.0
        while True:
            call = await self._journal.reserve(self._sequence, sha256, worst)
            if isinstance(call, Replayed):
                return self._remembered(asked, len(text), self._restored(call.response))
            found = await self._sent(call, messages, settings, model_request_parameters)
            if isinstance(found, ModelResponse):
                return self._remembered(asked, len(text), found)
            failures += 1
            seconds = None if found.final else self._patience.wait(failures, waited, found.retry_after)
            if seconds is None:
                raise self._failed(found, failures, waited)
            waited += seconds
            await self._wait(seconds)

    def request_stream(self, *_: Any, **__: Any) -> NoReturn:
        """Streaming is off: what would go around the journal is refused."""
        raise AssertionError("a streamed request would go around the journal")

    async def count_tokens(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("counting tokens would be a request around the journal")

    async def compact_messages(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a compaction would be a request around the journal")

    async def batch_create(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a batch would go around the journal")

    async def _sent(
        self,
        call: Reserved,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> ModelResponse | Failure:
        """Send it once, and write down what became of it."""
        try:
            response = await self._answered(call, super().request(messages, settings, parameters))
        except TimeoutError:
            failure = Failure(f"no answer within {self._timeout:g} s", lost=True, final=False)
        except (AgentRunError, UserError) as error:
            found = failure_of(error)
            failure = Failure(self._redact(found.message), found.lost, found.final, found.retry_after)
        else:
            return response
        end = self._journal.lose if failure.lost else self._journal.refuse
        await end(call, failure.message)
        return failure

    async def _answered(self, call: Reserved, request: Any) -> ModelResponse:
        """The recorded answer. When the attempt is to stop meanwhile, the answer gets a moment to arrive."""
        task: asyncio.Task[ModelResponse] = asyncio.create_task(request, name="request to the language model")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        try:
            while not task.done():
                left = deadline - loop.time()
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait({task}, timeout=min(POLL_SECONDS, left))
                if not task.done():
                    await self._journal.check()
        except Interrupted:
            await self._last_moment(call, task, min(GRACE_SECONDS, max(0.0, deadline - loop.time())))
            raise
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return await self._recorded(call, task.result())

    async def _last_moment(self, call: Reserved, task: asyncio.Task[ModelResponse], seconds: float) -> None:
        await asyncio.wait({task}, timeout=seconds)
        error = task.exception() if task.done() else None
        if task.done() and error is None:
            await self._recorded(call, task.result())
        elif isinstance(error, AgentRunError | UserError) and not failure_of(error).lost:
            await self._journal.refuse(call, self._redact(failure_of(error).message))
        else:
            await self._journal.lose(call, "it was stopped before it was answered")

    async def _recorded(self, call: Reserved, response: ModelResponse) -> ModelResponse:
        dumped = _encodable(ModelMessagesTypeAdapter.dump_python([response], mode="json")[0])
        usage = response.usage
        cost = self._prices.cost(usage, call.worst_usd)
        await self._journal.record(call, Answer(dumped, cost, usage.input_tokens, usage.output_tokens))
        # As a replay will have it, so that the conversation goes on alike.
        return self._restored(dumped)

    def _restored(self, dumped: Any) -> ModelResponse:
        try:
            [found] = ModelMessagesTypeAdapter.validate_python([dumped])
        except ValidationError as wrong:
            raise StepFailed(
                "LLM_JOURNAL_CORRUPTED",
                f"A recorded answer of {self._name} can't be read ({wrong.error_count()} errors). "
                "Start a new session.",
            ) from None
        assert isinstance(found, ModelResponse)
        return found

    def _most_tokens(self, asked: Mapping[str, Any], size: int) -> int:
        """A request has no more tokens than bytes. Of what the last one began with, the provider has said how
        many they were: only what came after it is counted so."""
        if self._last is None:
            return size
        last, last_size, tokens = self._last
        begun = last["messages"]
        if {**asked, "messages": asked["messages"][: len(begun)]} != last or size < last_size:
            return size
        return min(size, tokens + size - last_size)

    def _remembered(self, asked: dict[str, Any], size: int, response: ModelResponse) -> ModelResponse:
        tokens = response.usage.input_tokens
        self._last = (asked, size, tokens) if tokens > 0 else None
        return response

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            await self._journal.check()
            await self._journal.pause(min(POLL_SECONDS, left))
        await self._journal.check()

    def _bounded(self, given: ModelSettings | None) -> ModelSettings:
        settings = ModelSettings(**(given or {}))
        most = settings.get("max_tokens", self._max_output_tokens)
        settings["max_tokens"] = min(most, self._max_output_tokens)
        settings["timeout"] = self._timeout
        settings["max_retries"] = 0
        return settings

    def _failed(self, failure: Failure, failures: int, waited: float) -> StepFailed:
        if failure.code != UNAVAILABLE:
            what = f"{self._name} refused the request: {failure.message}. See ktrdr doctor, then resume."
            return StepFailed(failure.code, what)
        wished = "" if failure.retry_after is None else f", and asks for {failure.retry_after:g} s more"
        return StepFailed(
            failure.code,
            f"{self._name} was not available in {failures} tries over {waited:.0f} s{wished}: "
            f"{failure.message}. Resume once it answers: what was answered is not paid for again.",
        )


def _encodable(dumped: Any) -> Any:
    """Half a character, which JSON can spell and UTF-8 can't, becomes a question mark."""
    return json.loads(json.dumps(dumped, ensure_ascii=False).encode("utf-8", "replace"))
