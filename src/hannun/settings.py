"""Every setting, read once from the environment. Only the command line and the wiring see it; pieces get values.

Each field is described in `docs/operating.md`, which a test checks.
"""

import re
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from hannun.cache import RedisAddress
from hannun.errors import OperatorError
from hannun.store.database import PoolLimits

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?")


class Settings(BaseSettings):
    """What an operator can set. A name without HANNUN_ in front is one that everyone expects."""

    model_config = SettingsConfigDict(env_prefix="HANNUN_", frozen=True, extra="ignore")

    # neighbours
    database_url: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("DATABASE_URL"))
    owner_database_url: SecretStr = SecretStr("")  # migrations run as the owner; without it, as DATABASE_URL's user
    redis_host: str = Field("localhost", validation_alias=AliasChoices("REDIS_HOST"))
    redis_port: int = Field(6379, validation_alias=AliasChoices("REDIS_PORT"))
    redis_password: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("REDIS_PASSWORD"))
    redis_database: int = Field(0, validation_alias=AliasChoices("REDIS_DATABASE"))
    redis_tls: bool = False
    redis_timeout_s: float = 3.0
    redis_read_wait_s: float = 0.5  # a question asks the database rather than wait longer
    redis_connections_max: int = 20
    kafka_bootstrap_servers: str = Field("", validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS"))

    # the pool of connections: the contract's figures
    pool_size_max: int = 20
    pool_size_kept: int = 5
    pool_wait_s: float = 30.0
    pool_idle_s: float = 600.0
    pool_lifetime_s: float = 1_800.0

    # counting
    topic_event_created: str = "event-created"
    topic_participant_registered: str = "participant-registered"
    topic_distribution_completed: str = "distribution-completed"
    topic_event_status_changed: str = "event-status-changed"
    topic_sales_recorded: str = "sales-recorded"
    dead_letter_topic: str = ""  # "" publishes none
    kafka_group: str = "hannun"
    kafka_group_protocol: Literal["classic", "consumer"] = "classic"  # consumer is KIP-848: the broker assigns
    kafka_session_timeout_s: float = 30.0  # of the classic protocol; Event Hubs needs 30
    start_from: Literal["", "earliest", "latest"] = ""  # where a partition without a position begins; "" refuses
    batch_messages_max: int = 20_000
    batch_wait_s: float = 0.05  # chosen by feel: freshness before fullness when little comes
    dead_letters_in_a_row_max: int = 1_000  # more stop a partition, instead of emptying its topic into the dead letters
    dead_letters_share_max: float = 0.5  # of the last 10,000 messages of a partition; more stop it
    naive_times_are: str = ""  # a zone; "" refuses instants without an offset
    invalidations_apart_s: float = 0.05  # of the same event; 0 invalidates after each batch
    processed_marks_a_second: int = 1_000  # in Redis, for others to look at; 0 writes none
    processed_mark_lifetime_s: float = 86_400.0
    channels_file: str = ""  # a table of channels instead of the one that ships

    # answering
    host: str = "127.0.0.1"
    port: int = 8080
    answer_lifetime_s: float = 3_600.0
    copies_bytes_max: int = 32_000_000  # of answers in the memory of each `serve`; 0 keeps none
    jwt_secret: SecretStr = SecretStr("")  # "" takes no HS256, where there are published keys
    jwt_jwks_url: str = ""  # where the issuer of RS256 and ES256 tokens publishes its keys
    jwt_jwks_file: str = ""  # the same, in a file
    jwt_jwks_refresh_s: float = 300.0  # how long a key that has left the set may still be believed
    jwt_jwks_good_s: float = 86_400.0  # how long the last set is believed while the issuer is away
    jwt_jwks_cooldown_s: float = 10.0  # between two readings because of keys that nobody knows
    jwt_issuer: str = ""  # "" takes any
    jwt_audience: str = ""  # "" takes tokens that are for nobody in particular
    requests_a_minute: int = 600
    refreshes_a_minute: int = 60  # refresh=true, for each subject and process
    share_requests_a_minute: int = 3_000  # for each share link and process: all who have it together
    sign_ins_a_minute: int = 60  # for each address and process; 0 is no limit
    stranger_requests_a_minute: int = 300  # without a token that holds, for each address and process; 0 is no limit
    trusted_proxies: str = "127.0.0.1"  # addresses or networks whose X-Forwarded-For is believed
    cors_origins: str = ""  # "" lets no other origin in
    exports_at_once: int = 8  # files that are being made or read, in each process; of one caller 2
    body_bytes_max: int = 1_000_000
    body_messages_max: int = 1_000
    counting_threads: int = 4  # POSTs that are counted at the same time, each on a connection of its own
    sign_in_codes: SecretStr = SecretStr("")  # JSON {code: token}: ready sign-ins of `hannun up`
    secure_cookies: bool = False  # true behind TLS

    # upkeep
    consistency_samples_a_second: float = (
        1.0  # invalidations after which the cache is held against the database; 0: none
    )
    months_ahead: int = 3
    months_kept: int | None = None  # None keeps all
    metrics_port: int | None = None  # of `ingest`, which has no other HTTP door; None has none, 0 any that is free
    schedule_metrics_port: int | None = None  # another name, since both may run on one machine under one environment
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @cached_property
    def redis(self) -> RedisAddress:
        return RedisAddress(
            self.redis_host,
            self.redis_port,
            self.redis_password.get_secret_value(),
            self.redis_database,
            self.redis_tls,
            self.redis_timeout_s,
            self.redis_connections_max,
        )

    @cached_property
    def pool(self) -> PoolLimits:
        return PoolLimits(
            self.pool_size_max, self.pool_size_kept, self.pool_wait_s, self.pool_idle_s, self.pool_lifetime_s
        )

    @cached_property
    def topics(self) -> dict[str, str]:
        """The kind of message that each topic holds, by the topic's name."""
        return {
            self.topic_event_created: "event-created",
            self.topic_participant_registered: "participant-registered",
            self.topic_distribution_completed: "distribution-completed",
            self.topic_event_status_changed: "event-status-changed",
            self.topic_sales_recorded: "sales-recorded",
        }

    @cached_property
    def origins(self) -> list[str]:
        """The origins whose pages may call the API.

        Raises:
            OperatorError: HANNUN_CORS_ORIGINS holds what is no origin.
        """
        origins = [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise OperatorError(
                    f"HANNUN_CORS_ORIGINS holds {origin!r}, which is no origin",
                    hint="https://shop.example.com, without a path, and several with commas; * would let in everybody",
                )
        return origins

    @cached_property
    def naive_zone(self) -> ZoneInfo | None:
        """
        Raises:
            OperatorError: HANNUN_NAIVE_TIMES_ARE is not a zone.
        """
        if not self.naive_times_are:
            return None
        try:
            return ZoneInfo(self.naive_times_are)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise OperatorError(
                f"HANNUN_NAIVE_TIMES_ARE is {self.naive_times_are!r}, which is no zone",
                hint="an IANA name such as Asia/Seoul, or nothing",
            ) from error

    def needed(self, name: Literal["database_url", "jwt_secret", "kafka_bootstrap_servers"]) -> str:
        """A setting that the command cannot do without.

        Raises:
            OperatorError: it is not set.
        """
        value = getattr(self, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not text:
            variable, example = _NEEDED[name]
            raise OperatorError(f"{variable} is not set", hint=f"export {variable}={example}; or try `hannun up`")
        return str(text)


_NEEDED = {
    "database_url": ("DATABASE_URL", "postgresql://user:password@localhost:5432/analytics_db"),
    "jwt_secret": ("HANNUN_JWT_SECRET", "<at least 32 random characters, shared with whoever issues tokens>"),
    "kafka_bootstrap_servers": ("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
}


def read() -> Settings:
    """The settings of this process.

    Raises:
        OperatorError: a variable does not hold what it should.
    """
    try:
        return Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        variable = name if name.isupper() else f"HANNUN_{name.upper()}"
        raise OperatorError(
            f"{variable} cannot be used: {first['msg']}", hint="docs/operating.md lists every setting"
        ) from error
