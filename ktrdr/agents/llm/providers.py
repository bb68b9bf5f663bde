"""The libraries' models. This is the one module that names them; it is imported when a model was chosen."""

from __future__ import annotations

from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from ktrdr.agents.llm.choice import PLACEHOLDER, Choice, Provider

# Named here so that no other variable of the environment sends a key elsewhere.
ADDRESSES = {
    Provider.ANTHROPIC: "https://api.anthropic.com",
    Provider.OPENAI: "https://api.openai.com/v1",
    Provider.GOOGLE: "https://generativelanguage.googleapis.com",
}


def model_of(choice: Choice, key: str | None, base_url: str | None) -> Model:
    """A model that sends each request once: retries are the journal's business, where each is a row."""
    text, url = key or PLACEHOLDER, base_url or ADDRESSES[choice.provider]
    settings = ModelSettings(max_retries=0)
    if choice.provider is Provider.ANTHROPIC:
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(
            choice.model, provider=AnthropicProvider(api_key=text, base_url=url), settings=settings
        )
    if choice.provider is Provider.GOOGLE:
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(
            choice.model, provider=GoogleProvider(api_key=text, base_url=url), settings=settings
        )
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    own = OpenAIProvider(api_key=text, base_url=url)
    others = OpenAICompatibleProvider("openai-compatible", api_key=text, base_url=url)
    return OpenAIChatModel(choice.model, provider=others if base_url else own, settings=settings)
