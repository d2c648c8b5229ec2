"""A Service Bus namespace: where it is, how this process signs in, and what the client's errors mean."""

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from hannun.errors import OperatorError, ServiceBusUnavailable, install_hint

OPEN_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class ServiceBusAddress:
    """Where the namespace is.

    Args:
        connection_string: the string, or what returns the current one; "" where Azure's own identity signs in.
        host: of the namespace, for Azure's own identity.
        subscription: the names are topics, and this is the subscription of each; "" where they are queues.
    """

    connection_string: str | Callable[[], str] = field(default="", repr=False)
    host: str = ""
    subscription: str = ""


class Namespace:
    """Opens receivers in one namespace. Each receiver has a connection of its own.

    Args:
        open_s_max: how long a connection, its token and its link may take to open.

    Raises:
        OperatorError: the extra is not installed, or the connection string cannot be parsed.
    """

    def __init__(self, address: ServiceBusAddress, open_s_max: float = OPEN_S_MAX) -> None:
        self._address = address
        self._open_s_max = open_s_max
        self.errors = _library("azure.servicebus.exceptions")
        _silence_client_logs()
        self._credential = None if address.connection_string else _library("azure.identity").DefaultAzureCredential()
        self._client()

    def path(self, name: str) -> str:
        """The path of a queue or a subscription, as Azure writes it."""
        subscription = self._address.subscription
        return f"{name}/Subscriptions/{subscription}" if subscription else name

    def receiver(self, name: str, *, dead_letters: bool = False) -> Any:
        """A receiver of a queue or a subscription, or of its dead-letter subqueue. It connects at its first call.

        Raises:
            OperatorError: the connection string has changed, and cannot be parsed.
        """
        client = self._client()
        options: dict[str, Any] = {"sub_queue": "deadletter"} if dead_letters else {}
        if self._address.subscription:
            receiver = client.get_subscription_receiver(name, self._address.subscription, **options)
        else:
            receiver = client.get_queue_receiver(name, **options)
        # The client would wait for Service Bus's answer to each settlement: one round trip a message. Without the
        # answer a settlement may be lost; then the message comes again, and the ledger counts it once.
        receiver._await_settlement_outcome = False
        return receiver

    def _client(self) -> Any:
        client = _library("azure.servicebus").ServiceBusClient
        options = {"retry_total": 0, "try_timeout": self._open_s_max}  # the caller tries again, and stops in between
        text = self._address.connection_string
        if not text:
            return client(self._address.host, self._credential, **options)
        try:
            return client.from_connection_string(text if isinstance(text, str) else text(), **options)
        except ValueError as error:
            raise OperatorError(
                f"HANNUN_SERVICE_BUS_CONNECTION_STRING cannot be used: {error}",
                hint="copy it from the namespace's `Shared access policies` in Azure's portal: "
                "Endpoint=sb://NAME.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=...",
            ) from error

    @contextmanager
    def translated_errors(self, path: str) -> Iterator[None]:
        """Raise our errors for those of the client.

        Raises:
            OperatorError: the queue does not exist or is disabled, or this process may not read it.
            ServiceBusUnavailable: any other failure of the client.
        """
        errors = self.errors
        try:
            yield
        except (errors.MessagingEntityNotFoundError, errors.MessagingEntityDisabledError) as error:
            raise OperatorError(
                f"Service Bus has no queue or subscription {path} that can be read: {_text(error)}",
                hint="create or enable it, or name another: HANNUN_TOPIC_..., HANNUN_SERVICE_BUS_SUBSCRIPTION",
            ) from error
        except (errors.ServiceBusAuthenticationError, errors.ServiceBusAuthorizationError) as error:
            raise OperatorError(
                f"Service Bus does not let this process receive from {path}: {_text(error)}",
                hint="a key needs the right Listen, an identity the role `Azure Service Bus Data Receiver`",
            ) from error
        except Exception as error:  # the client raises ValueError, OSError and others where its connection has ended
            raise ServiceBusUnavailable(f"Service Bus does not answer for {path}: {_text(error)}") from error


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _library(name: str) -> ModuleType:
    """
    Raises:
        OperatorError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise OperatorError(
            f"Service Bus is configured, and needs Azure's client: {error}", hint=install_hint("servicebus")
        ) from error


def _silence_client_logs() -> None:
    """The client logs each error that it also raises, with its stack. The caller logs it in one line."""
    for name in ("azure", "msal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
