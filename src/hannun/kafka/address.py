"""Where Kafka is, and how its clients connect and log in.

What every client sets fits Apache Kafka and the Kafka endpoint of Azure Event Hubs. That one closes a connection which
is idle for 240 s, refuses idempotent producers and compressed records, and wants session time-outs of 6 to 300 s.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from hannun.errors import OperatorError

Option = str | int | float | bool
SHARED_OPTIONS: Final[Mapping[str, Option]] = {
    "socket.keepalive.enable": True,
    "connections.max.idle.ms": 180_000,
    "metadata.max.age.ms": 180_000,
    "topic.metadata.refresh.interval.ms": 180_000,
}
"""Options of every client: each is below the 240 s after which Azure closes an idle connection."""


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Where the brokers are, and how a client logs in.

    Args:
        servers: host:port of the brokers, separated by commas.
        protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. TLS trusts the authorities of the operating system.
        mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; for the two protocols with SASL.
        password: of the user, or what returns it as it is at that moment.

    Raises:
        OperatorError: the protocol needs a user and a password that are missing, or cannot use those that are set.
    """

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str = ""
    password: str | Callable[[], str] = field(default="", repr=False)

    def __post_init__(self) -> None:
        given = bool(self.username), bool(self.password)
        if self.logs_in and given != (True, True):
            raise OperatorError(
                f"KAFKA_SECURITY_PROTOCOL is {self.protocol}, but the user or the password for it is not set",
                hint="KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD; docs/deployment.md has those of Azure Event Hubs",
            )
        if not self.logs_in and any(given):
            raise OperatorError(
                f"KAFKA_SASL_USERNAME or KAFKA_SASL_PASSWORD is set, but KAFKA_SECURITY_PROTOCOL is {self.protocol}",
                hint="set it to SASL_SSL, or unset the user and the password",
            )

    @property
    def logs_in(self) -> bool:
        return self.protocol.startswith("SASL_")

    def current_password(self) -> str:
        """The password as it is now."""
        return self.password if isinstance(self.password, str) else self.password()

    def options(self) -> dict[str, Option]:
        """Options of librdkafka for a client that is created now."""
        options: dict[str, Option] = {"bootstrap.servers": self.servers, **SHARED_OPTIONS}
        if self.protocol != "PLAINTEXT":
            options["security.protocol"] = self.protocol
        if self.logs_in:
            options["sasl.mechanism"] = self.mechanism
            options["sasl.username"] = self.username
            options["sasl.password"] = self.current_password()
        return options


class _LogsIn(Protocol):
    def set_sasl_credentials(self, username: str, password: str, /) -> None: ...


class PasswordUpdate:
    """Gives a client the password of its address when that has changed. Open connections stay; new ones use it."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._given = address.current_password()

    def apply(self, client: _LogsIn) -> None:
        password = self._address.current_password()
        if password != self._given:
            client.set_sasl_credentials(self._address.username, password)
            self._given = password
