"""A real Apache Kafka of our own: one node (KRaft, broker and controller in one), on the machine's Java.

The jars come from the machine's ordinary Maven, once for each user (`fetch_kafka`), in the versions of kafka-pom.xml.
All of a server lies in its home: kafka-data, kafka.properties, kafka-log4j2.properties, kafka.port, .log, .lock.

Half of a start goes into loading classes. The first broker that stops in its ordinary way therefore leaves an archive
of them beside the jars, for one version of Java: that one stop takes 4 s more, each start after it 1.5 s less (of 3.5).

Durability is Kafka's usual one: an acknowledged message is in the operating system's hands and outlives a killed
broker, but one node has no replica to outlive a power failure (`log.flush.interval.messages=1` would, at a price).
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from hannun.embedded.process import (
    HOST,
    LOG_TAIL_LINES,
    LocalServer,
    free_port,
    last_words,
    make_folder,
    polls,
    run_as,
    write_private,
)
from hannun.errors import KafkaUnavailable, OperatorError

JAVA_MIN = 17
FETCH_S_MAX = 900
TOPICS_S_MAX = 30.0

_POM = Path(__file__).with_name("kafka-pom.xml")

# Chosen for a quick start and a small machine; a broker under load likes other ones.
_JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disableJmx=true",
)

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",  # a mistyped topic is an error, not a new topic
    "num.partitions": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "100",  # the lanes of one `ingest` join together, not one after the other
    # A killed broker's registration blocks its successor until it runs out: Kafka's 9 s would be our restart.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "16777216",  # by default a quarter of our whole heap
}

_LOGGING = """\
# To standard output, which is kafka.log.
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601}{UTC}Z %p %m (%c{1})%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


class KafkaServer(LocalServer):
    """A Kafka broker on 127.0.0.1, without authentication; topics are made by `create_topics`, never by themselves.

    Args:
        home: its folder; made where it does not exist.
        port: 0 for the one of last time, or any free one.
        settings: of server.properties, over ours.
        cluster: the id of the cluster whose store it makes, where it is not to be alone; None for one of its own.
        java_options: of the virtual machine, after ours.
        progress: told, in a few words, what takes long (the first fetch, the first format).
    """

    name = "kafka"
    program = "java"
    stop_signals: ClassVar = ((signal.SIGTERM, 15.0),)
    start_s_max: ClassVar = 120.0

    def __init__(
        self,
        home: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        cluster: str | None = None,
        java_options: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(home, port=port, settings=settings)
        # Kafka's ids are 16 bytes as text; one that begins with "-" would look like an option.
        self._cluster = cluster or "A" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        self._java_options = tuple(java_options)
        self._progress = progress or (lambda _: None)
        self._jars: Path | None = None
        self._classes: Path | None = None
        self._admin: tuple[int, AdminClient] | None = None

    @property
    def bootstrap(self) -> str:
        """What clients take as bootstrap.servers."""
        return f"{HOST}:{self.port}"

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Make topics with so many partitions, and return when each has a leader. One that exists is left as it is.

        Raises:
            OperatorError: the broker refuses, for example a name.
            StreamUnavailable: the broker does not answer in time.
        """
        admin = self._client(self.port)
        wanted = [NewTopic(name, num_partitions=count, replication_factor=1) for name, count in partitions.items()]
        for name, made in admin.create_topics(wanted, operation_timeout=TOPICS_S_MAX).items() if wanted else ():
            try:
                made.result(timeout=TOPICS_S_MAX)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                if error.args[0].retriable():
                    raise KafkaUnavailable(f"cannot make the topic {name} on {self.bootstrap}: {error}") from error
                raise OperatorError(
                    f"cannot make the topic {name} on {self.bootstrap}: {error.args[0].str()}",
                    hint="correct its name or its number of partitions",
                ) from error
        # A topic that was made is not at once one that the broker serves.
        for _ in polls(TOPICS_S_MAX):
            if _all_led(admin, set(partitions)):
                return
        raise KafkaUnavailable(f"made the topics {', '.join(partitions)} on {self.bootstrap}, but they have no leader")

    # -- what LocalServer asks for -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._jars = fetch_kafka(self._progress)
        self._classes = self._jars / f"classes-{_java_digest()}.jsa"
        self._new_classes.unlink(missing_ok=True)
        write_private(self.home / "kafka-log4j2.properties", _LOGGING)
        if not (self._data / "meta.properties").exists():
            self._format()

    def _command(self, port: int) -> Sequence[str]:
        self._write_settings(self._marker(), port=port, data=self._data)
        leave_classes = [] if self._has_classes else [f"-XX:ArchiveClassesAtExit={self._new_classes}"]
        return [*self._java(), *leave_classes, "kafka.Kafka", str(self._marker())]

    def _marker(self) -> Path:
        return self.home / "kafka.properties"

    def _answers(self, port: int) -> bool:
        # A client is dear, so not before somebody listens.
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=2):
            return _all_led(self._client(port), set())
        return False

    def _end_process(self, first: int = 0) -> None:
        self._admin = None
        ended = self._process
        super()._end_process(first)
        # Only of a machine that has ended by itself is the archive whole.
        if ended is not None and ended.returncode == 128 + signal.SIGTERM and self._new_classes.exists():
            self._keep_classes()

    def _hint(self, log: str) -> str:
        if "ConfigException" in log:
            return "correct the settings that were given for this server"
        if "OutOfMemoryError" in log:
            return "give the broker more memory (java_options=['-Xmx1g'])"
        return super()._hint(log)

    # -- its files -----------------------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.home / "kafka-data"

    @property
    def _new_classes(self) -> Path:
        return self.home / "kafka-classes.jsa"

    @property
    def _has_classes(self) -> bool:
        return self._classes is not None and self._classes.exists()

    def _keep_classes(self) -> None:
        if self._classes is not None and not self._has_classes:
            new = self._classes.with_name(f".{self._classes.name}.{secrets.token_hex(4)}")
            # It only saves time: a full or read-only cache is no reason to fail.
            with contextlib.suppress(OSError):
                shutil.copyfile(self._new_classes, new)
                new.replace(self._classes)
            new.unlink(missing_ok=True)
        self._new_classes.unlink(missing_ok=True)

    def _java(self) -> list[str]:
        assert self._jars is not None
        classes = [f"-XX:SharedArchiveFile={self._classes}"] if self._has_classes else []
        return [
            str(_java_program()), *_JAVA_OPTIONS, *classes, *self._java_options,
            f"-Dlog4j2.configurationFile={(self.home / 'kafka-log4j2.properties').as_uri()}",
            "-cp", f"{self._jars}/*",
        ]  # fmt: skip

    def _write_settings(self, path: Path, *, port: int, data: Path) -> None:
        # Nobody but the broker talks to the controller, so its port may be another one each time.
        controller_port = free_port()
        ours = {
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "log.dirs": str(data),
        }
        # In a Java properties file a backslash begins an escape.
        settings = {name: value.replace("\\", "\\\\") for name, value in (_SETTINGS | ours | self._settings).items()}
        write_private(path, "".join(f"{name}={value}\n" for name, value in settings.items()))

    def _format(self) -> None:
        """Make the empty store. It gets its name only when it is whole: a first start that is killed begins again."""
        self._progress("preparing Kafka's store")
        new = self.home / "kafka-data.new"
        shutil.rmtree(new, ignore_errors=True)
        settings = self.home / "kafka-format.properties"
        self._write_settings(settings, port=free_port(), data=new)
        command = [
            *self._java(),
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            self._cluster,
            "--config",
            str(settings),
        ]
        done = run_as(None, command)
        settings.unlink(missing_ok=True)
        if done.returncode != 0:
            said = last_words(done.stdout)
            raise OperatorError(
                f"cannot prepare Kafka's store in {self.home}: it says:\n{said}\n", hint=self._hint(said)
            )
        new.rename(self._data)

    def _client(self, port: int) -> AdminClient:
        if self._admin is None or self._admin[0] != port:
            self._admin = (
                port,
                AdminClient(
                    {
                        "bootstrap.servers": f"{HOST}:{port}",
                        "socket.timeout.ms": 10_000,
                        "reconnect.backoff.max.ms": 200,
                        "log_level": 0,  # it would write to our standard error
                    }
                ),
            )
        return self._admin[1]


def fetch_kafka(progress: Callable[[str], None] = lambda _: None) -> Path:
    """The folder with Kafka's jars, fetched with `mvn` where this user does not have them yet (about 45 MB).

    Two processes may do this at the same time.

    Raises:
        OperatorError: Java or Maven is missing or too old, or the jars cannot be fetched.
    """
    if (reason := java_missing_reason()) is not None:
        raise OperatorError(
            f"cannot run Kafka: {reason}",
            hint=f"install a Java runtime of version {JAVA_MIN} or newer and Maven, or leave out --kafka",
        )
    folder = _jars_folder()
    if folder.is_dir():
        return folder
    make_folder(folder.parent)
    progress(f"fetching Apache Kafka {kafka_version()} with Maven (45 MB, once)")
    new = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        _run_maven(new)
        try:
            new.rename(folder)
        except OSError:
            if not folder.is_dir():  # else somebody else was quicker
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def java_missing_reason() -> str | None:
    """Why Kafka cannot run on this machine, in words for a person; None where it can."""
    java = _java_program()
    if java is None:
        return f"there is no java on the PATH, nor in JAVA_HOME (version {JAVA_MIN} or newer is needed)"
    said = _ask_java(java)
    # 'openjdk version "17.0.15" ...'; before version 9 it was "1.8.0".
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None:
        return f"asked {java} for its version, and it said: {said.strip() or 'nothing'}"
    if int(found[1]) < JAVA_MIN:
        return f"{java} is of version {found[1]}, and {JAVA_MIN} or newer is needed"
    if not _jars_folder().is_dir() and shutil.which("mvn") is None:
        return f"Kafka's jars are not in {_jars_folder()} yet, and there is no mvn (Maven) on the PATH to fetch them"
    return None


def kafka_version() -> str:
    """The version of Apache Kafka that we run, from kafka-pom.xml."""
    version = ElementTree.parse(_POM).findtext("{*}version")  # noqa: S314  our own file
    assert version is not None
    return version


def _jars_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:8]
    return cache / "hannun" / f"kafka-{kafka_version()}-{digest}"


def _java_program() -> Path | None:
    if home := os.environ.get("JAVA_HOME"):
        return Path(home, "bin", "java") if Path(home, "bin", "java").is_file() else None
    found = shutil.which("java")
    return Path(found) if found else None


def _java_digest() -> str:
    """What tells one version of Java from another."""
    java = _java_program()
    return hashlib.sha256(_ask_java(java).encode() if java else b"").hexdigest()[:8]


def _ask_java(java: Path) -> str:
    try:
        return run_as(None, [str(java), "-version"]).stdout
    except OSError as error:
        return str(error)


def _run_maven(target: Path) -> None:
    command = [
        "mvn", "--batch-mode", "--quiet", "--strict-checksums", "-Dstyle.color=never", "--file", str(_POM),
        "dependency:copy-dependencies", f"-DoutputDirectory={target}", "-DincludeScope=runtime",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=FETCH_S_MAX, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    else:
        if done.returncode == 0 and any(target.glob("kafka_*.jar")):
            return
        # Maven says what is wrong first, and then at length how one may get help.
        said = "\n".join(done.stdout.splitlines()[:LOG_TAIL_LINES])
    raise OperatorError(
        f"cannot fetch Apache Kafka with Maven; it says:\n{said}\n",
        hint="let mvn reach a Maven repository (the network, or a mirror in ~/.m2/settings.xml), then try again; "
        "or do without Kafka: leave out --kafka",
    )


def _all_led(admin: AdminClient, topics: set[str]) -> bool:
    """Whether the broker serves: it is known to itself, knows these topics, and each partition has a leader."""
    try:
        known = admin.list_topics(timeout=5)
    except KafkaException:
        return False
    return (
        bool(known.brokers)
        and topics <= known.topics.keys()
        and all(p.leader >= 0 for topic in known.topics.values() for p in topic.partitions.values())
    )
