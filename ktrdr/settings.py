"""Every setting, read once from `KTRDR_*` environment variables and frozen."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ktrdr.agents.llm.choice import Choice, LanguageModelSettings
from ktrdr.agents.llm.waiting import Patience
from ktrdr.domain.calls import Limits
from ktrdr.domain.operations import is_safe_key
from ktrdr.domain.sessions import GateThresholds


def default_home() -> Path:
    """The user's data directory."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "ktrdr"


class Settings(BaseSettings):
    """What a backend or a worker is told from outside. Unknown values are refused by name."""

    model_config = SettingsConfigDict(env_prefix="KTRDR_", frozen=True)

    home: Path = Field(default_factory=default_home, description="database, artifacts and logs live here")
    database_url: SecretStr | None = Field(None, description="postgresql+asyncpg://… instead of SQLite")
    instance: str = Field("default", description="names this backend; one live backend a name")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    token: SecretStr | None = Field(None, description="required to bind beyond loopback")
    allowed_hosts: str = Field("", description="further Host names, separated by commas")
    published_on_loopback: bool = Field(
        False, description="in a container whose port the host publishes on loopback only: no token needed"
    )
    database_wait_seconds: float = Field(30.0, ge=0, description="how long start-up waits for the database")
    max_active_sessions: int = Field(1, ge=1)
    auto_resume: bool = Field(False, description="resume the sessions that a restart interrupted")
    executor: Literal["local", "ray"] = Field("local", description="where workers are started")
    worker_slots: int = Field(max(1, (os.cpu_count() or 2) - 1), ge=1, description="CPUs of local workers")
    worker_grace_seconds: float = Field(25.0, gt=0, description="from a cancel to the kill of a worker")
    checkpoint_epochs: int = Field(1, ge=1, description="a training's checkpoint is due after so many epochs")
    checkpoint_seconds: float | None = Field(None, gt=0, description="or after so many seconds")
    checkpoint_days: float = Field(
        30.0, gt=0, le=36_500, description="a checkpoint that nobody goes on from is kept for so long"
    )
    orphan_hours: float = Field(
        1.0, ge=0, le=876_000, description="files that no row points at are kept for so long"
    )
    cleanup_hours: float = Field(
        6.0,
        gt=0,
        le=8_760,
        description="from one cleanup to the next; the first comes a minute after the start",
    )
    ray_address: str = Field("http://127.0.0.1:8265", pattern=r"^https?://[^/]+/?$")
    ray_token: SecretStr | None = Field(None, description="RAY_AUTH_TOKEN of the cluster, if it has one")
    ray_home: str | None = Field(None, description="the home as the cluster's nodes see it")
    ray_wait_seconds: float = Field(30.0, ge=0, description="how long an unreachable cluster is waited for")
    max_import_bytes: int = Field(2**30, ge=1, description="the largest file that is imported")
    llm: str | None = Field(None, description="PROVIDER:MODEL; without it the offline pair does the job")
    llm_base_url: str | None = Field(
        None, pattern=r"^https?://[^/@\s]+(/[^@\s]*)?$", description="another server than its own"
    )
    llm_timeout_seconds: float = Field(120.0, gt=0, le=3600, description="for one answer")
    llm_wait_seconds: float = Field(600.0, ge=0, description="how long an overloaded provider is waited for")
    llm_max_output_tokens: int = Field(8192, ge=256, le=200_000, description="of one answer")
    llm_prices: Path | None = Field(None, description="a JSON or YAML file of prices")
    budget_session_usd: float = Field(1.0, ge=0, allow_inf_nan=False, description="for a session's requests")
    budget_day_usd: float = Field(10.0, ge=0, allow_inf_nan=False, description="for all, a day in UTC")
    allow_unknown_price: bool = Field(False, description="ask a model whose price nobody knows")
    gate_min_balanced_accuracy: float = 0.335
    gate_min_sharpe: float = 0.0
    gate_max_drawdown: float = 0.6
    gate_min_trades: int = 10

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("instance")
    @classmethod
    def _safe(cls, value: str) -> str:
        if not is_safe_key(value):
            raise ValueError("letters, digits, '-', '_' and inner dots only")
        return value

    @field_validator("llm")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return None if not value else Choice.parse(value).name

    @cached_property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.home / 'ktrdr.db'}"

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def data(self) -> Path:
        """Imported data sets, a folder each."""
        return self.home / "data"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def strategies(self) -> Path:
        """Strategy files of the user; only ever read."""
        return self.home / "strategies"

    @property
    def thresholds(self) -> GateThresholds:
        return GateThresholds(
            min_balanced_accuracy=self.gate_min_balanced_accuracy,
            min_sharpe=self.gate_min_sharpe,
            max_drawdown=self.gate_max_drawdown,
            min_trades=self.gate_min_trades,
        )

    @property
    def limits(self) -> Limits:
        return Limits(self.budget_session_usd, self.budget_day_usd)

    @property
    def language_model(self) -> LanguageModelSettings | None:
        """None: the designer and the assessor need no model."""
        if self.llm is None:
            return None
        return LanguageModelSettings(
            Choice.parse(self.llm),
            base_url=self.llm_base_url,
            timeout=self.llm_timeout_seconds,
            max_output_tokens=self.llm_max_output_tokens,
            prices=self.llm_prices,
            allow_unknown_price=self.allow_unknown_price,
            limits=self.limits,
            patience=Patience(total=self.llm_wait_seconds),
        )
