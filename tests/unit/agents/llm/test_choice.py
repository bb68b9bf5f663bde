"""Which model, whose key, and that nothing is imported to know it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from ktrdr.agents.llm.choice import Choice, Key, Provider, missing_libraries
from ktrdr.settings import Settings

KEY = "sk-ant-0123456789abcdefghij"
LIBRARIES = ("pydantic_ai", "anthropic", "openai", "google.genai", "genai_prices")


@pytest.mark.parametrize(
    ("text", "provider", "model"),
    [
        ("anthropic:claude-opus-5", Provider.ANTHROPIC, "claude-opus-5"),
        ("openai:qwen/qwen3:32b", Provider.OPENAI, "qwen/qwen3:32b"),
        (" google:gemini-2.5-pro ", Provider.GOOGLE, "gemini-2.5-pro"),
    ],
)
def test_a_choice_is_a_provider_and_a_model(text: str, provider: Provider, model: str) -> None:
    assert Choice.parse(text) == Choice(provider, model)


@pytest.mark.parametrize("text", ["claude-opus-5", "mistral:large", "anthropic:", "anthropic: ", ":x"])
def test_what_is_no_choice_is_refused_when_the_backend_starts(text: str) -> None:
    """By the setting's name, with what is possible."""
    with pytest.raises(ValidationError, match="anthropic, openai, google"):
        Settings(llm=text)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:11434/v1", "https://proxy.example", "https://x.example/a/b/"]
)
def test_another_server_is_an_address(url: str) -> None:
    assert Settings(llm_base_url=url).llm_base_url == url


@pytest.mark.parametrize(
    "url", ["127.0.0.1:1", "ftp://x", "https://me:secret@x.example/v1", "http://", "http://a b"]
)
def test_an_address_has_no_password(url: str) -> None:
    """`ktrdr doctor` shows it."""
    with pytest.raises(ValidationError, match="llm_base_url"):
        Settings(llm_base_url=url)


def test_the_key_is_in_no_repr_and_taken_out_of_what_others_say() -> None:
    """Also the longer half of it: a provider may echo a part."""
    key = Key.of(Provider.ANTHROPIC, {"ANTHROPIC_API_KEY": f" {KEY} "})
    assert key.text == KEY
    assert KEY not in repr(key)
    assert key.redact(f"bad key {KEY}!") == "bad key [key]!"
    assert KEY[:18] not in key.redact(f"bad key {KEY[:18]}***")
    assert key.redact("no key here") == "no key here"
    assert Key.of(Provider.OPENAI, {"ANTHROPIC_API_KEY": KEY}).text is None
    assert Key.of(Provider.GOOGLE, {"GEMINI_API_KEY": KEY}).variable == "GEMINI_API_KEY"
    assert Key(None).redact("as it was") == "as it was"


@pytest.mark.parametrize("provider", [*Provider])
def test_the_libraries_of_the_extra_are_all_it_needs(provider: Provider) -> None:
    assert missing_libraries(provider) == []


@pytest.mark.parametrize("chosen", [None, "anthropic:claude-opus-5"])
def test_no_library_is_imported_until_a_model_is_used(chosen: str | None) -> None:
    """A backend without KTRDR_LLM never needs them; building one with it leaves the import to `load`."""
    program = f"""
import sys
from ktrdr.api.bootstrap import Backend
from ktrdr.settings import Settings
backend = Backend(Settings())
print([name for name in {LIBRARIES!r} if name in sys.modules])
if backend.llm is not None:
    backend.llm.load()
    print([name for name in {LIBRARIES!r} if name in sys.modules])
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KTRDR_")}
    environment["KTRDR_HOME"] = "/nonexistent"
    environment["KTRDR_DATABASE_URL"] = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    if chosen is not None:
        environment |= {"KTRDR_LLM": chosen, "ANTHROPIC_API_KEY": KEY}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    first, *more = done.stdout.splitlines()
    assert first == "[]"
    assert more == ([] if chosen is None else ["['pydantic_ai', 'anthropic', 'genai_prices']"])
