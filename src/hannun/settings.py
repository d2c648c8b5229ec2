"""Every setting, read once from the environment. Only `cli` and `processes` read it; everything below receives values.

`docs/operating.md` describes each field, which a test checks.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from hannun.cache import RedisAddress
from hannun.domain.field_values import TimeForm
from hannun.domain.granularity import WeekStart
from hannun.domain.timetable import Timetable
from hannun.errors import OperatorError, SettingMissing
from hannun.kafka.address import KafkaAddress
from hannun.secret_file import SecretFile, both_set, one_text
from hannun.service_bus.namespace import ServiceBusAddress
from hannun.store.connections import UrlSource
from hannun.store.database import PoolLimits
from hannun.store.pooled_connections import PooledUrl
from hannun.tokens import ROLES, RoleClaim, signing_secrets

LOCK_WAIT_SHARE = 0.75
"""Of a request's deadline: a lock that is not free then is refused by PostgreSQL itself, which names the reason."""
SECRETS = (
    "database_url",
    "owner_database_url",
    "backup_database_url",
    "drill_database_url",
    "replica_database_url",
    "redis_password",
    "service_bus_connection_string",
    "kafka_sasl_password",
    "jwt_secret",
)
"""The fields whose value can stand in a file, which the field of that name with `_file` names."""
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?")


class Settings(BaseSettings):
    """What an operator can set. Names without the prefix HANNUN_ are those that other software uses as well."""

    model_config = SettingsConfigDict(env_prefix="HANNUN_", frozen=True, extra="ignore", allow_inf_nan=False)

    # PostgreSQL, Redis, Kafka, Service Bus
    # A field `..._file` names the file that holds a secret. It is read again when it changes.
    database_url: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("DATABASE_URL"))
    database_url_file: str = Field("", validation_alias=AliasChoices("DATABASE_URL_FILE"))
    owner_database_url: SecretStr = SecretStr("")  # of the tables' owner, who migrates; "" is DATABASE_URL
    owner_database_url_file: str = ""
    replica_database_url: SecretStr = SecretStr("")  # of a streaming replica, for files; "" reads them on the primary
    replica_database_url_file: str = ""
    replica_wait_s: float = Field(1.0, gt=0)  # for the replica to be as far as the primary; else the primary is read
    redis_host: str = Field("localhost", validation_alias=AliasChoices("REDIS_HOST"))
    redis_port: int = Field(6379, validation_alias=AliasChoices("REDIS_PORT"))
    redis_password: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("REDIS_PASSWORD"))
    redis_password_file: str = Field("", validation_alias=AliasChoices("REDIS_PASSWORD_FILE"))
    redis_database: int = Field(0, validation_alias=AliasChoices("REDIS_DATABASE"))
    redis_tls: bool = False
    redis_cluster: bool = False  # REDIS_HOST and REDIS_PORT name a node of a Redis Cluster
    redis_timeout_s: float = 3.0
    redis_read_wait_s: float = 0.5  # a read that waits longer for Redis goes to PostgreSQL
    redis_connections_max: int = 20
    kafka_bootstrap_servers: str = Field("", validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS"))
    service_bus_connection_string: SecretStr = SecretStr("")  # with the right Listen
    service_bus_connection_string_file: str = ""
    service_bus_namespace: str = ""  # NAME.servicebus.windows.net: Azure's own identity signs in, without a secret
    service_bus_subscription: str = ""  # of each topic; "": the names of topics are those of queues
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", validation_alias=AliasChoices("KAFKA_SECURITY_PROTOCOL")
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", validation_alias=AliasChoices("KAFKA_SASL_MECHANISM")
    )
    kafka_sasl_username: str = Field("", validation_alias=AliasChoices("KAFKA_SASL_USERNAME"))
    kafka_sasl_password: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("KAFKA_SASL_PASSWORD"))
    kafka_sasl_password_file: str = Field("", validation_alias=AliasChoices("KAFKA_SASL_PASSWORD_FILE"))
    key_ring_file: str = ""  # the keys of encrypted data; "": nothing is encrypted, and nothing encrypted is read

    # connections to PostgreSQL; the values are those of the specification
    transaction_pooling: bool = False  # DATABASE_URL leads to PgBouncer in transaction mode; the other URLs do not
    pool_size_max: int = 20
    pool_size_kept: int = 5
    pool_wait_s: float = 30.0
    pool_idle_s: float = 600.0
    pool_lifetime_s: float = 1_800.0

    # deadlines
    request_s: float = Field(4.0, ge=0.5)  # of all that a request waits for; an answer is promised within 5 s
    statement_s: float = Field(30.0, ge=1.0)  # of a statement of a reader, as for a page of a file
    silent_s: float = Field(5.0, ge=0.5)  # a PostgreSQL that answers no new connection within it is given up

    # counting
    ingest_source: Literal["kafka", "servicebus"] = "kafka"  # `hannun ingest --source` comes before it
    topic_event_created: str = "event-created"
    topic_participant_registered: str = "participant-registered"
    topic_distribution_completed: str = "distribution-completed"
    topic_event_status_changed: str = "event-status-changed"
    topic_sales_recorded: str = "sales-recorded"
    dead_letter_topic: str = ""  # "" publishes no dead letters
    kafka_group: str = "hannun"
    kafka_group_protocol: Literal["classic", "consumer"] = "classic"  # "consumer" is KIP-848
    kafka_session_timeout_s: float = 30.0  # for the classic protocol; Azure Event Hubs takes 6 to 300
    start_from: Literal["", "earliest", "latest"] = ""  # for partitions without a position; "": they wait
    batch_messages_max: int = 100_000
    batch_wait_s: float = 0.05  # chosen by feel: few messages are counted soon, in small batches
    dead_letters_in_a_row_max: int = 1_000  # more stop a partition, before a whole wrong topic becomes dead letters
    dead_letters_share_max: float = 0.5  # a larger share of a partition's last 10,000 messages stops it
    naive_times_are: str = ""  # the time zone of instants without an offset; "" rejects them
    times_are: str = ""  # forms of instants besides ISO 8601: epoch-milliseconds, arrays; "" rejects them
    invalidations_apart_s: float = 0.05  # between two invalidations of one event; 0 invalidates after each batch
    processed_marks_a_second: int = 1_000  # written to Redis for other software; 0 writes none
    processed_mark_lifetime_s: float = 86_400.0
    channels_file: str = ""  # "" is the table of the package (domain/channels.toml)

    # measuring channels
    channel_access_file: str = ""  # addresses and credentials of the channels' APIs; "" calls none
    channel_declarations: str = ""  # a folder whose declarations add to those of the package, or replace them
    channel_private_addresses: bool = False  # true allows http and addresses inside the own network: development
    channel_calls_at_once: int = Field(32, ge=1, le=1_000)  # under way to each channel, in each process

    # answering
    host: str = "127.0.0.1"
    port: int = 8080
    answer_lifetime_s: float = 3_600.0
    copies_bytes_max: int = 32_000_000  # of cached answers in the memory of each `serve`; 0 caches none there
    jwt_secret: SecretStr = SecretStr("")  # of HS256; "" accepts only tokens signed by published keys
    jwt_secret_file: str = ""  # several lines: the first secret signs, each of them verifies
    jwt_jwks_url: str = ""  # the address of the issuer's public keys (JWKS), for RS256 and ES256
    jwt_jwks_file: str = ""  # the same key set in a file
    jwt_jwks_read_s: float = 3.0  # for one read of the key set, which a request with an unknown key waits for
    jwt_jwks_refresh_s: float = 300.0  # between two reads: a key that was removed is accepted for this long
    jwt_jwks_good_s: float = 86_400.0  # how long the last key set is accepted while the issuer does not answer
    jwt_jwks_cooldown_s: float = 10.0  # between two reads that unknown key ids cause
    jwt_issuer: str = ""  # "" accepts every issuer
    jwt_audience: str = ""  # "" accepts tokens without an audience
    jwt_roles_claim: str = "roles"  # where a token has none of that name, dots lead into objects
    jwt_role_prefix: str = ""  # before each role's name in a token, such as ROLE_
    jwt_role_mapping: str = ""  # the issuer's own names: SELLER=MERCHANT,ops=ADMIN
    requests_a_minute: int = 600
    refreshes_a_minute: int = 60  # requests with refresh=true, for each subject
    share_requests_a_minute: int = 3_000  # for each share link: all of its users together
    sign_ins_a_minute: int = 60  # for each client address; 0 is no limit
    stranger_requests_a_minute: int = 300  # without a valid token, for each client address; 0 is no limit
    page_requests_a_minute: int = 3_000  # pages, files, probes, unknown paths, for each client address; 0 is no limit
    live_streams_max: int = 10_000  # open at the same time in each process; each takes about 4 kB
    live_streams_per_caller_max: int = 20  # of each subject or share link
    trusted_proxies: str = "127.0.0.1"  # addresses or networks whose X-Forwarded-For is used
    cors_origins: str = ""  # "" allows no other origin
    public_origins: str = ""  # this service's own, where a proxy changes the Host header; "" is that header's
    sign_in_url: str = ""  # where the platform signs a merchant in; "" offers codes and links only
    week_start: WeekStart = WeekStart.MONDAY  # of weekly buckets, where a question names none
    exports_at_once: int = 8  # files that each process makes or sends at a time; 2 for one caller
    body_bytes_max: int = 1_000_000
    body_messages_max: int = 1_000
    counting_threads: int = 4  # POSTs counted at the same time, each on its own connection
    connections_max: int = Field(12_000, gt=0)  # of HTTP, in all; fewer where the process may open fewer files
    address_connections_max: int = Field(256, ge=0)  # for each client address; 0 is no limit
    request_head_bytes_max: int = Field(32_768, ge=8_192)  # a request line with headers; a token has up to 8,192
    request_head_s: float = Field(10.0, gt=0)
    request_body_s: float = Field(60.0, gt=0)
    keep_alive_s: float = Field(65.0, gt=0)  # more than the 60 s after which many proxies close an idle connection
    unread_answer_s: float = Field(30.0, gt=0)  # how long a client may take no byte of its answer
    secure_cookies: bool = False  # set it to true behind TLS

    # backups
    backup_folder: str = ""  # "" makes no backups
    backup_database_url: SecretStr = SecretStr("")  # of the role that makes them; "" is the owner's
    backup_database_url_file: str = ""
    backup_recipient: str = ""  # the public key (age) for which backups are encrypted; "" encrypts none
    backup_logical_at: str = "0 0 18 * * *"  # 03:00 in Seoul; like refresh_at, "" makes none at set times
    backup_physical_at: str = "0 0 19 * * SUN"
    backup_redis_at: str = "0 0 15 * * *"  # midnight in Seoul
    backup_daily_kept: int = Field(7, ge=1)
    backup_weekly_kept: int = 4
    drill_database_url: SecretStr = SecretStr("")  # where drills restore; "" starts a server in a temporary folder
    drill_database_url_file: str = ""
    drill_identity_file: str = ""  # opens encrypted backups for drills at set times
    restore_drill_at: str = "0 0 20 * * SUN"  # like refresh_at; "" makes no drill at set times
    postgres_programs: str = ""  # the folder of pg_dump and the others; "": PATH, then the wheel of `hannun up`

    # timed jobs, metrics, logs
    refresh_at: str = "0 */5 * * * *"  # second minute hour day month weekday, in UTC
    consistency_samples_a_second: float = 1.0  # invalidations whose cached answers are compared; 0 compares none
    months_ahead: int = 3
    months_kept: int | None = None  # None keeps all months
    archive_folder: str = ""  # where months that are not kept go as Parquet; "" keeps their detached tables
    metrics_port: int | None = None  # of `ingest`, which has no HTTP server otherwise; None opens none, 0 any free port
    schedule_metrics_port: int | None = None  # of `schedule`: both may run on one machine with one environment
    metrics_host: str = "127.0.0.1"  # where both listen
    watched_folders: str = ""  # folders whose disks the doctor watches, as PostgreSQL's data where this machine sees it
    database_bytes_max: int = 0  # the room for the database, where nobody sees its disk; 0 says nothing
    traces_endpoint: str = ""  # where a collector takes OTLP over HTTP
    traces_share: float = 0.01  # of the requests; batches are always traced
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("*")
    @classmethod
    def _not_below_zero(cls, value: object) -> object:
        if isinstance(value, int | float) and value < 0:
            raise ValueError("must not be below 0")
        return value

    @cached_property
    def secret_files(self) -> dict[str, SecretFile[tuple[str, ...]]]:
        """The files that hold secrets, by the name of the secret's field.

        Raises:
            OperatorError: one of them cannot be used, or the secret is also set itself.
        """
        return {name: self._secret_file(name) for name in SECRETS if getattr(self, f"{name}_file")}

    def _secret_file(self, name: str) -> SecretFile[tuple[str, ...]]:
        variable = variable_of(f"{name}_file")
        if getattr(self, name).get_secret_value():
            raise both_set(variable_of(name))
        parse = signing_secrets if name == "jwt_secret" else one_text
        return SecretFile(Path(getattr(self, f"{name}_file")), variable, partial(parse, variable))

    def secret(self, name: str) -> str:
        """A secret as it is now; "" where it is not set. Where its file holds several, the newest."""
        return self.secrets_source(name)()[0]

    def secrets_source(self, name: str) -> Callable[[], tuple[str, ...]]:
        """Returns the secrets under this name as they are at that moment, the newest first."""
        file = self.secret_files.get(name)
        if file is not None:
            return file.current
        secrets = (getattr(self, name).get_secret_value(),)
        return lambda: secrets

    def source(self, name: str) -> str | Callable[[], str]:
        """A secret for what uses it for long: its value, or what reads it from its file."""
        file = self.secret_files.get(name)
        return self.secret(name) if file is None else lambda: file.read_if_changed()[0]

    def _current(self, name: str) -> str | Callable[[], str]:
        """A secret for what looks at it often: its value, or what reads its file where a second has passed."""
        file = self.secret_files.get(name)
        return self.secret(name) if file is None else lambda: file.current()[0]

    @property
    def service_url(self) -> str:
        """The URL of the database for the service's role, as it is now.

        Raises:
            OperatorError: it is not set.
        """
        return self._of_pooler(self.needed("database_url"))

    @property
    def database_source(self) -> UrlSource:
        """The same for a process that runs for long. Raises as `service_url`."""
        self.needed("database_url")
        source = self.source("database_url")
        return self._of_pooler(source) if isinstance(source, str) else lambda: self._of_pooler(source())

    def _of_pooler(self, url: str) -> str:
        return PooledUrl(url) if self.transaction_pooling else url

    @cached_property
    def redis(self) -> RedisAddress:
        """Where Redis is.

        Raises:
            OperatorError: it is a cluster, and REDIS_DATABASE names a database that no cluster has.
        """
        if self.redis_cluster and self.redis_database:
            raise OperatorError(
                f"REDIS_DATABASE is {self.redis_database}, and HANNUN_REDIS_CLUSTER is true",
                hint="a Redis Cluster has only database 0: unset REDIS_DATABASE",
            )
        password = self.source("redis_password")
        return RedisAddress(
            self.redis_host,
            self.redis_port,
            password if isinstance(password, str) else "",
            self.redis_database,
            self.redis_tls,
            self.redis_timeout_s,
            self.redis_connections_max,
            None if isinstance(password, str) else password,
            self.redis_cluster,
        )

    @cached_property
    def service_bus(self) -> ServiceBusAddress | None:
        """Where Service Bus is; None where no setting says so.

        Raises:
            OperatorError: both settings say so.
        """
        connection_string = self.source("service_bus_connection_string")
        if connection_string and self.service_bus_namespace:
            raise OperatorError(
                "HANNUN_SERVICE_BUS_CONNECTION_STRING and HANNUN_SERVICE_BUS_NAMESPACE are both set",
                hint="unset one: the connection string holds a key, the namespace is for Azure's own identity",
            )
        if not connection_string and not self.service_bus_namespace:
            return None
        return ServiceBusAddress(connection_string, self.service_bus_namespace, self.service_bus_subscription)

    @cached_property
    def kafka(self) -> KafkaAddress:
        """Where Kafka is.

        Raises:
            OperatorError: no setting says it, or the settings of the login do not fit together.
        """
        return KafkaAddress(
            self.needed("kafka_bootstrap_servers"),
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_sasl_username,
            self._current("kafka_sasl_password"),
        )

    @cached_property
    def pool(self) -> PoolLimits:
        return PoolLimits(
            self.pool_size_max,
            self.pool_size_kept,
            self.pool_wait_s,
            self.pool_idle_s,
            self.pool_lifetime_s,
            answer_s=self.silent_s,
        )

    @cached_property
    def request_pool(self) -> PoolLimits:
        """The limits of connections that answer requests: what no caller waits for any more ends soon."""
        lock_wait_s = min(self.pool.lock_wait_s, self.request_s * LOCK_WAIT_SHARE)
        return replace(self.pool, lock_wait_s=lock_wait_s, statement_s=self.statement_s)

    @cached_property
    def refresh_timetable(self) -> Timetable:
        """When the channels are asked and the answers are rebuilt.

        Raises:
            OperatorError: HANNUN_REFRESH_AT is no timetable.
        """
        return _timetable("HANNUN_REFRESH_AT", self.refresh_at)

    @cached_property
    def backup_timetables(self) -> dict[Literal["logical", "physical", "redis"], Timetable]:
        """When backups are made, by their kind; without those that are never made at set times.

        Raises:
            OperatorError: one of them is no timetable.
        """
        times: dict[Literal["logical", "physical", "redis"], str] = {
            "logical": self.backup_logical_at,
            "physical": self.backup_physical_at,
            "redis": "" if self.redis_cluster else self.backup_redis_at,  # a cluster gives no snapshot
        }
        return {kind: _timetable(f"HANNUN_BACKUP_{kind.upper()}_AT", at) for kind, at in times.items() if at.strip()}

    @property
    def scheduled_backups(self) -> list[str]:
        """The kinds of operations that make backups at set times, as `backup-logical`; none without a folder for them.

        Raises:
            OperatorError: one of their times is no timetable.
        """
        return [f"backup-{kind}" for kind in self.backup_timetables] if self.backup_folder else []

    @cached_property
    def drill_timetable(self) -> Timetable | None:
        """When restore drills are done; None where none is at set times.

        Raises:
            OperatorError: HANNUN_RESTORE_DRILL_AT is no timetable.
        """
        return _timetable("HANNUN_RESTORE_DRILL_AT", self.restore_drill_at) if self.restore_drill_at.strip() else None

    @cached_property
    def stale_after(self) -> timedelta:
        """How long what a channel has measured is good: two periods of the refresh. Raises as `refresh_timetable`."""
        return 2 * self.refresh_timetable.period

    @cached_property
    def topics(self) -> dict[str, str]:
        """The kind of the messages of each topic, by the topic's name."""
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
            OperatorError: an entry of HANNUN_CORS_ORIGINS is not an origin.
        """
        return _origins_in("HANNUN_CORS_ORIGINS", self.cors_origins)

    @cached_property
    def own_origins(self) -> list[str]:
        """The origins under which browsers see this service, besides the one that requests name.

        Raises:
            OperatorError: an entry of HANNUN_PUBLIC_ORIGINS is not an origin.
        """
        return _origins_in("HANNUN_PUBLIC_ORIGINS", self.public_origins)

    @cached_property
    def platform_sign_in(self) -> str:
        """The address of the platform's sign-in; "" where there is none.

        Raises:
            OperatorError: HANNUN_SIGN_IN_URL is not an address of HTTP.
        """
        if self.sign_in_url and not _HTTP_ADDRESS.fullmatch(self.sign_in_url):
            raise OperatorError(
                f"HANNUN_SIGN_IN_URL holds {self.sign_in_url!r}, which is not an address",
                hint="https://shop.example.com/sign-in: an address with http or https, without #",
            )
        return self.sign_in_url

    @cached_property
    def role_claim(self) -> RoleClaim:
        """Where a token names its roles, and how.

        Raises:
            OperatorError: HANNUN_JWT_ROLES_CLAIM is empty, or HANNUN_JWT_ROLE_MAPPING does not map names to roles.
        """
        if not self.jwt_roles_claim.strip():
            raise OperatorError("HANNUN_JWT_ROLES_CLAIM is empty", hint="name the claim, or unset it: then it is roles")
        mapping: dict[str, frozenset[str]] = {}
        for entry in filter(None, map(str.strip, self.jwt_role_mapping.split(","))):
            name, _, role = (part.strip() for part in entry.rpartition("="))
            if not name or role not in ROLES:
                raise OperatorError(
                    f"HANNUN_JWT_ROLE_MAPPING holds {entry!r}, which maps no name to a role",
                    hint=f"SELLER=MERCHANT, several with commas; the roles are {', '.join(sorted(ROLES))}",
                )
            mapping[name] = mapping.get(name, frozenset()) | {role}
        return RoleClaim(self.jwt_roles_claim.strip(), self.jwt_role_prefix, mapping)

    @cached_property
    def naive_zone(self) -> ZoneInfo | None:
        """The time zone of instants without an offset; None rejects them.

        Raises:
            OperatorError: HANNUN_NAIVE_TIMES_ARE is not a time zone.
        """
        if not self.naive_times_are:
            return None
        try:
            return ZoneInfo(self.naive_times_are)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise OperatorError(
                f"HANNUN_NAIVE_TIMES_ARE is {self.naive_times_are!r}, which is not a time zone",
                hint="set an IANA name such as Asia/Seoul, or nothing",
            ) from error

    @cached_property
    def time_forms(self) -> frozenset[TimeForm]:
        """The forms of instants that are accepted besides ISO 8601.

        Raises:
            OperatorError: HANNUN_TIMES_ARE names another form.
        """
        named = [name.strip() for name in self.times_are.split(",") if name.strip()]
        try:
            return frozenset(map(TimeForm, named))
        except ValueError as error:
            raise OperatorError(
                f"HANNUN_TIMES_ARE is {self.times_are!r}, which names an unknown form",
                hint=f"any of these, with commas: {', '.join(TimeForm)}; or nothing",
            ) from error

    def needed(self, name: Literal["database_url", "jwt_secret", "kafka_bootstrap_servers", "key_ring_file"]) -> str:
        """A setting that the command needs.

        Raises:
            SettingMissing: it is not set.
        """
        text = self.secret(name) if name in SECRETS else getattr(self, name)
        if not text:
            variable, example, otherwise, with_home = _NEEDED[name]
            raise SettingMissing(
                f"{variable} is not set",
                hint=f"export {variable}={example}; {otherwise}",
                hint_with_home=with_home,
            )
        return str(text)


def _timetable(variable: str, text: str) -> Timetable:
    """
    Raises:
        OperatorError: the text is no timetable.
    """
    try:
        return Timetable(text)
    except ValueError as error:
        raise OperatorError(
            f"{variable} cannot be used: {error}", hint="six fields, in UTC: `0 */5 * * * *` is every five minutes"
        ) from error


_HTTP_ADDRESS = re.compile(r"https?://[^\s/?#\"'<>\\]+[^\s#\"'<>\\]*")


def _origins_in(variable: str, text: str) -> list[str]:
    origins = [origin.strip() for origin in text.split(",") if origin.strip()]
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise OperatorError(
                f"{variable} holds {origin!r}, which is not an origin",
                hint="https://shop.example.com, without a path, several with commas; * is not accepted",
            )
    return origins


_OF_UP = "or, where the command has --home, give it the folder of a running `hannun up`"
_START_AGAIN = "stop this `hannun up`, and start it again"
_NEEDED = {
    "database_url": (
        "DATABASE_URL",
        "postgresql://user:password@localhost:5432/analytics_db",
        _OF_UP,
        _START_AGAIN,
    ),
    "jwt_secret": (
        "HANNUN_JWT_SECRET",
        "<at least 32 random characters, shared with the issuer of the tokens>",
        _OF_UP,
        _START_AGAIN,
    ),
    "kafka_bootstrap_servers": (
        "KAFKA_BOOTSTRAP_SERVERS",
        "localhost:9092",
        f"{_OF_UP[:-1]} --kafka`",
        "this `hannun up` runs without Kafka: stop it, and start it again with --kafka",
    ),
    "key_ring_file": (
        "HANNUN_KEY_RING_FILE",
        "/etc/hannun/keys.toml",
        "`hannun keys new FILE` makes a key ring",
        "`hannun keys new FILE` makes a key ring; start `hannun up` again with it",
    ),
}
"""Of each setting: the variable, an example, what else helps, and the hint for a command with `--home`."""


def secret_in(environment: Mapping[str, str], variable: str) -> str | None:
    """The secret in a variable, or in the file that the variable of that name with `_FILE` names; None for neither.

    Raises:
        OperatorError: both are set, or the file cannot be used.
    """
    value, file = environment.get(variable), environment.get(f"{variable}_FILE")
    if not file:
        return value
    if value:
        raise both_set(variable)
    return SecretFile(Path(file), f"{variable}_FILE", partial(one_text, f"{variable}_FILE")).current()[0]


def variable_of(name: str) -> str:
    """The environment variable of a field."""
    choices = getattr(Settings.model_fields[name].validation_alias, "choices", None)
    return str(choices[0]) if choices else f"HANNUN_{name.upper()}"


_NO_NUMBER = {
    "int_parsing": "is no whole number",
    "float_parsing": "is no number",
    "bool_parsing": "is not true or false",
}


def _reason(name: str, error: ErrorDetails) -> str:
    """What is wrong with a field's value, with the value; a secret is not shown."""
    reason = _NO_NUMBER.get(error["type"], f"is refused: {error['msg']}")
    shown = name in Settings.model_fields and name not in SECRETS
    return f"{str(error['input'])[:80]!r} {reason}" if shown else f"it {reason}"


def read() -> Settings:
    """The settings of this process.

    Raises:
        OperatorError: the value of a variable, or a file with a secret, cannot be used.
    """
    try:
        settings = Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        variable = name if name.isupper() else f"HANNUN_{name.upper()}"
        raise OperatorError(
            f"{variable} cannot be used: {_reason(name, first)}", hint="docs/operating.md lists every setting"
        ) from error
    _ = settings.secret_files  # checked at the start
    return settings
