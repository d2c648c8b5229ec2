"""Apache Kafka for newcomers and tests: one KRaft node (broker and controller in one) on the machine's Java.

The machine's Maven fetches the jars, once for each user (`fetch_kafka`), in the versions of kafka-pom.xml. All files
of a server lie in its home: kafka-data, kafka.properties, kafka-log4j2.properties, kafka.port, .log and .lock.

Loading classes takes half of a start. The first broker that stops in its ordinary way therefore writes a class data
sharing (CDS) archive next to the jars, for this version of Java. That one stop takes 4 s longer. Each later start takes
1.5 s less (of 3.5 s).

Durability is Kafka's usual one. An acknowledged message is in the operating system's page cache and survives a killed
broker. It may not survive a power failure, since one node has no replica (`log.flush.interval.messages=1` would
protect it, at the price of speed).
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
from typing import TYPE_CHECKING, ClassVar
from xml.etree import ElementTree

from hannun.embedded.local_server import LocalServer
from hannun.embedded.logs import LOG_TAIL_LINES, last_lines
from hannun.embedded.polling import attempts_within
from hannun.embedded.ports import HOST, find_free_port
from hannun.embedded.private_files import create_folder, write_private_file
from hannun.embedded.process import run_as
from hannun.errors import KafkaUnavailable, OperatorError

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

JAVA_MIN = 17
FETCH_S_MAX = 900
TOPICS_S_MAX = 30.0

_POM = Path(__file__).with_name("kafka-pom.xml")

# For a quick start on a small machine. A broker under load needs other options.
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
    "auto.create.topics.enable": "false",  # a mistyped topic name is an error
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
    "group.initial.rebalance.delay.ms": "100",  # all workers of one `ingest` join in one rebalance
    # After a kill the broker can register again only when its old session has expired. With Kafka's default a restart
    # would take 9 s.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "16777216",  # the default would be a quarter of the heap
}

_LOGGING = """\
# Standard output is redirected to kafka.log.
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601}{UTC}Z %p %m (%c{1})%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


class KafkaServer(LocalServer):
    """A Kafka broker on 127.0.0.1, without authentication. Only `create_topics` creates topics.

    Args:
        home: its folder; created if it does not exist.
        port: 0 for the port of the last start, or any free one.
        settings: of server.properties; they replace ours.
        cluster_id: the id of the cluster to which the broker belongs; None for a new random one. Several brokers of
            one cluster need the same id.
        java_options: of the Java virtual machine, added after ours.
        progress: called with a short text before each slow step (the first fetch, the first format).
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
        cluster_id: str | None = None,
        java_options: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(home, port=port, settings=settings)
        # A cluster id is 16 bytes in base64. One that begins with "-" would be parsed as an option.
        self._cluster_id = cluster_id or "A" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        self._java_options = tuple(java_options)
        self._progress = progress or (lambda _: None)
        self._jars: Path | None = None
        self._class_archive: Path | None = None
        self._port_and_admin_client: tuple[int, AdminClient] | None = None

    @property
    def bootstrap(self) -> str:
        """The value of bootstrap.servers for clients."""
        return f"{HOST}:{self.port}"

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Create topics, and return when each partition has a leader. Existing topics stay unchanged.

        Args:
            partitions: the number of partitions of each topic, by the topic's name.

        Raises:
            OperatorError: the broker refuses a topic, for example because of its name.
            KafkaUnavailable: the broker does not respond in time.
        """
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.cimpl import NewTopic

        admin_client = self._admin_client(self.port)
        new_topics = [NewTopic(name, num_partitions=count, replication_factor=1) for name, count in partitions.items()]
        futures = admin_client.create_topics(new_topics, operation_timeout=TOPICS_S_MAX) if new_topics else {}
        for name, future in futures.items():
            try:
                future.result(timeout=TOPICS_S_MAX)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                if error.args[0].retriable():
                    raise KafkaUnavailable(f"cannot create the topic {name} on {self.bootstrap}: {error}") from error
                raise OperatorError(
                    f"cannot create the topic {name} on {self.bootstrap}: {error.args[0].str()}",
                    hint="correct its name or its number of partitions",
                ) from error
        # The broker confirms a new topic before its partitions have leaders.
        for _ in attempts_within(TOPICS_S_MAX):
            if _all_partitions_have_leaders(admin_client, set(partitions)):
                return
        raise KafkaUnavailable(
            f"created the topics {', '.join(partitions)} on {self.bootstrap}, but partitions have no leader after "
            f"{TOPICS_S_MAX:.0f} s"
        )

    # -- what LocalServer requires -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._jars = fetch_kafka(self._progress)
        self._class_archive = self._jars / f"classes-{_java_version_digest()}.jsa"
        self._new_class_archive.unlink(missing_ok=True)
        write_private_file(self.home / "kafka-log4j2.properties", _LOGGING)
        if not (self._data / "meta.properties").exists():
            self._format_storage()

    def _configure(self, port: int) -> Sequence[str]:
        self._write_settings(self._marker_path(), port=port, data=self._data)
        archive = [] if self._has_class_archive else [f"-XX:ArchiveClassesAtExit={self._new_class_archive}"]
        return [*self._java_command(), *archive, "kafka.Kafka", str(self._marker_path())]

    def _marker_path(self) -> Path:
        return self.home / "kafka.properties"

    def _is_ready(self, port: int) -> bool:
        # An admin client is expensive, so it is created only when the port accepts connections.
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=2):
            return _all_partitions_have_leaders(self._admin_client(port), set())
        return False

    def _stop_process(self, first_signal: int = 0) -> None:
        self._port_and_admin_client = None
        stopped = self._process
        super()._stop_process(first_signal)
        # The archive is complete only if the virtual machine exited by itself.
        if stopped is not None and stopped.returncode == 128 + signal.SIGTERM and self._new_class_archive.exists():
            self._publish_class_archive()

    def _hint_for(self, log: str) -> str:
        if "ConfigException" in log:
            return "correct the settings that were given for this server"
        if "OutOfMemoryError" in log:
            return "give the broker more memory (java_options=['-Xmx1g'])"
        return super()._hint_for(log)

    # -- files ---------------------------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.home / "kafka-data"

    @property
    def _new_class_archive(self) -> Path:
        return self.home / "kafka-classes.jsa"

    @property
    def _has_class_archive(self) -> bool:
        return self._class_archive is not None and self._class_archive.exists()

    def _publish_class_archive(self) -> None:
        """Move the new class archive next to the jars, where later starts find it."""
        if self._class_archive is not None and not self._has_class_archive:
            new = self._class_archive.with_name(f".{self._class_archive.name}.{secrets.token_hex(4)}")
            # The archive only saves time, so a full or read-only cache folder is no error.
            with contextlib.suppress(OSError):
                shutil.copyfile(self._new_class_archive, new)
                new.replace(self._class_archive)
            new.unlink(missing_ok=True)
        self._new_class_archive.unlink(missing_ok=True)

    def _java_command(self) -> list[str]:
        assert self._jars is not None
        archive = [f"-XX:SharedArchiveFile={self._class_archive}"] if self._has_class_archive else []
        return [
            str(_java_program()), *_JAVA_OPTIONS, *archive, *self._java_options,
            f"-Dlog4j2.configurationFile={(self.home / 'kafka-log4j2.properties').as_uri()}",
            "-cp", f"{self._jars}/*",
        ]  # fmt: skip

    def _write_settings(self, path: Path, *, port: int, data: Path) -> None:
        # Only the broker connects to the controller, so the controller may have another port at each start.
        controller_port = find_free_port(excluding=port)
        computed = {
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "log.dirs": str(data),
        }
        # A backslash starts an escape sequence in a Java properties file.
        settings = _SETTINGS | computed | self._settings
        escaped = {name: value.replace("\\", "\\\\") for name, value in settings.items()}
        write_private_file(path, "".join(f"{name}={value}\n" for name, value in escaped.items()))

    def _format_storage(self) -> None:
        """Format a folder of another name and rename it at the end. After a crash the next start formats it again."""
        self._progress("formatting Kafka's log folder")
        new = self.home / "kafka-data.new"
        shutil.rmtree(new, ignore_errors=True)
        settings = self.home / "kafka-format.properties"
        self._write_settings(settings, port=find_free_port(), data=new)
        command = [
            *self._java_command(),
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            self._cluster_id,
            "--config",
            str(settings),
        ]
        done = run_as(None, command)
        settings.unlink(missing_ok=True)
        if done.returncode != 0:
            output = last_lines(done.stdout)
            raise OperatorError(
                f"cannot format Kafka's log folder in {self.home}: StorageTool failed:\n{output}\n",
                hint=self._hint_for(output),
            )
        new.rename(self._data)

    def _admin_client(self, port: int) -> "AdminClient":
        from confluent_kafka.admin import AdminClient  # only where a broker is wanted

        if self._port_and_admin_client is None or self._port_and_admin_client[0] != port:
            self._port_and_admin_client = (
                port,
                AdminClient(
                    {
                        "bootstrap.servers": f"{HOST}:{port}",
                        "socket.timeout.ms": 10_000,
                        "reconnect.backoff.max.ms": 200,
                        "log_level": 0,  # librdkafka would log to our standard error
                    }
                ),
            )
        return self._port_and_admin_client[1]


def fetch_kafka(progress: Callable[[str], None] = lambda _: None) -> Path:
    """Return the folder of Kafka's jars. If this user does not have them yet, `mvn` fetches them (about 45 MB).

    Two processes may call this at the same time.

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
    create_folder(folder.parent)
    progress(f"fetching Apache Kafka {kafka_version()} with Maven (45 MB, once)")
    new = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        _run_maven(new)
        try:
            new.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process has fetched them meanwhile
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def java_missing_reason() -> str | None:
    """Why Kafka cannot run on this machine, as a sentence for the operator; None if it can."""
    java = _java_program()
    if java is None:
        return f"there is no java on the PATH or in JAVA_HOME (version {JAVA_MIN} or newer is needed)"
    output = _java_version_output(java)
    # The output is 'openjdk version "17.0.15" ...'. Before version 9 it contained "1.8.0".
    found = re.search(r'version "(?:1\.)?(\d+)', output)
    if found is None:
        return f"ran {java} -version, and found no version in its output: {output.strip() or '(no output)'}"
    if int(found[1]) < JAVA_MIN:
        return f"{java} has version {found[1]}, and version {JAVA_MIN} or newer is needed"
    if not _jars_folder().is_dir() and shutil.which("mvn") is None:
        return f"Kafka's jars are not in {_jars_folder()} yet, and there is no mvn (Maven) on the PATH to fetch them"
    return None


def kafka_version() -> str:
    """The version of Apache Kafka that `KafkaServer` runs, from kafka-pom.xml."""
    version = ElementTree.parse(_POM).findtext("{*}version")  # noqa: S314  the file is part of this package
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


def _java_version_digest() -> str:
    """A digest that differs between versions of Java."""
    java = _java_program()
    return hashlib.sha256(_java_version_output(java).encode() if java else b"").hexdigest()[:8]


def _java_version_output(java: Path) -> str:
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
        output = str(error)
    else:
        if done.returncode == 0 and any(target.glob("kafka_*.jar")):
            return
        # Maven prints the cause first, and then a long text about how to get help.
        output = "\n".join(done.stdout.splitlines()[:LOG_TAIL_LINES])
    raise OperatorError(
        f"cannot fetch Apache Kafka with Maven:\n{output}\n",
        hint="let mvn reach a Maven repository (the network, or a mirror in ~/.m2/settings.xml), then try again; "
        "or do without Kafka: leave out --kafka",
    )


def _all_partitions_have_leaders(admin_client: "AdminClient", topics: set[str]) -> bool:
    """Whether the broker is registered, has these topics, and has a leader for every partition."""
    from confluent_kafka import KafkaException

    try:
        metadata = admin_client.list_topics(timeout=5)
    except KafkaException:
        return False
    return (
        bool(metadata.brokers)
        and topics <= metadata.topics.keys()
        and all(p.leader >= 0 for topic in metadata.topics.values() for p in topic.partitions.values())
    )
