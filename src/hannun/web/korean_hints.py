"""The Korean texts of what stands inside a finding: why a partition waits, and the hint of an error.

These sentences reach the page with their figures already in them. So each template is compared with the whole sentence.
"""

import re
from functools import cache

KOREAN_HINTS: dict[str, str] = {
    # -- why a topic or a partition is not read
    "was never read, and no setting says where to start (HANNUN_START_FROM)": (
        "읽은 적이 없고, 어디서 시작할지 정한 설정(HANNUN_START_FROM)이 없습니다"
    ),
    "its topic was deleted and recreated: its position is one of the old topic": (
        "토픽이 지워졌다가 다시 만들어졌습니다. 저장된 위치는 옛 토픽의 것입니다"
    ),
    "{count} offsets were removed before they were counted; it begins at {low}": (
        "오프셋 {count}개가 집계되기 전에 지워졌습니다. 지금은 {low}부터 시작합니다"
    ),
    "its log ends at {high}: it was truncated": "로그가 {high}에서 끝납니다. 로그가 잘렸습니다",
    "its log has other records before that offset now: it was truncated": (
        "그 오프셋 앞의 레코드가 달라졌습니다. 로그가 잘렸습니다"
    ),
    "Kafka refuses this topic: {answer}": "Kafka가 이 토픽을 거절합니다: {answer}",
    "Kafka no longer has this topic: it was deleted": "Kafka에 이 토픽이 없습니다. 지워졌습니다",
    "Kafka has no topic of this name (HANNUN_TOPIC_...)": "Kafka에 이런 이름의 토픽이 없습니다(HANNUN_TOPIC_...)",
    "was recreated with {partitions} partitions: {gone} that were counted are gone": (
        "파티션 {partitions}개로 다시 만들어졌고, 집계하던 파티션 {gone}개가 없어졌습니다"
    ),
    # -- what to do about it; a command alone stays as it is
    "grant this client READ and DESCRIBE on the topic": "이 클라이언트에 토픽의 READ와 DESCRIBE 권한을 주세요",
    "create it again, or: {command}": "토픽을 다시 만들거나, 포기하려면 {command}",
    "create it, or: {command}": "토픽을 만들거나, 포기하려면 {command}",
    # -- servers
    "is PostgreSQL running? Its own log says why it refused or ended a connection; then try again": (
        "PostgreSQL이 실행 중인지 보세요. 연결을 거절하거나 끊은 까닭은 PostgreSQL의 로그에 있습니다"
    ),
    "make room on the disk that PostgreSQL's log names, or enlarge it; never delete files of pg_wal by hand": (
        "PostgreSQL의 로그가 가리키는 디스크를 비우거나 늘리세요. pg_wal의 파일은 절대 손으로 지우지 마세요"
    ),
    "does a broker run there, and does it answer? Then try again": "그곳에 브로커가 실행 중이고 응답하는지 보세요",
    "is it running, and is KAFKA_BOOTSTRAP_SERVERS right? `hannun up --kafka` starts an embedded one": (
        "실행 중인지, KAFKA_BOOTSTRAP_SERVERS가 맞는지 보세요. `hannun up --kafka`는 내장 브로커를 시작합니다"
    ),
    "is REDIS_PASSWORD right?": "REDIS_PASSWORD가 맞는지 보세요",
    "is it running, and are REDIS_HOST and REDIS_PORT right? `hannun up` starts an embedded one": (
        "실행 중인지, REDIS_HOST와 REDIS_PORT가 맞는지 보세요. `hannun up`은 내장 Redis를 시작합니다"
    ),
    "are REDIS_HOST, REDIS_PORT and REDIS_DATABASE right, and may this login use the database?": (
        "REDIS_HOST, REDIS_PORT, REDIS_DATABASE가 맞는지, 이 계정이 그 데이터베이스를 쓸 수 있는지 보세요"
    ),
    "cannot reach Redis at {address}: {reason}": "{address}의 Redis에 닿지 않습니다: {reason}",
    "no Kafka broker answers at {address}: {reason}": "{address}에서 응답하는 Kafka 브로커가 없습니다: {reason}",
    # -- Service Bus
    "can this machine reach the namespace (AMQP, port 5671)? Then try again": (
        "이 서버에서 네임스페이스에 닿는지(AMQP, 포트 5671) 보세요"
    ),
    "create or enable it, or name another: HANNUN_TOPIC_..., HANNUN_SERVICE_BUS_SUBSCRIPTION": (
        "만들거나 켜세요. 다른 이름이라면 HANNUN_TOPIC_...과 HANNUN_SERVICE_BUS_SUBSCRIPTION에 적으세요"
    ),
    "a key needs the right Listen, an identity the role `Azure Service Bus Data Receiver`": (
        "키에는 Listen 권한이, ID에는 역할 `Azure Service Bus Data Receiver`가 필요합니다"
    ),
    "copy it from the namespace's `Shared access policies` in Azure's portal: "
    "Endpoint=sb://NAME.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=...": (
        "Azure 포털에서 네임스페이스의 `Shared access policies`에 있는 값을 복사하세요: "
        "Endpoint=sb://NAME.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=..."
    ),
    "Service Bus has no queue or subscription {path} that can be read: {reason}": (
        "Service Bus에 읽을 수 있는 큐나 구독 {path}이(가) 없습니다: {reason}"
    ),
    "Service Bus does not let this process receive from {path}: {reason}": (
        "Service Bus가 {path}의 메시지를 받지 못하게 합니다: {reason}"
    ),
    "Service Bus does not answer for {path}: {reason}": "Service Bus가 {path}에 응답하지 않습니다: {reason}",
    # -- the schema and the key ring
    "the database's schema is of version {found}; this Hannun needs {needed}": (
        "데이터베이스의 스키마는 {found} 버전인데 이 프로그램에는 {needed} 버전이 필요합니다"
    ),
    "run `hannun migrate`": "`hannun migrate`를 실행하세요",
    "run the newer Hannun that migrated it": "스키마를 올린 새 버전의 Hannun을 실행하세요",
    "`hannun keys new FILE` makes one": "`hannun keys new FILE`이 새로 만듭니다",
}
"""By the English template. What a server or a driver said is not translated."""


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    def pattern(template: str) -> str:
        # Every other part is the name of a value.
        parts = re.split(r"{(\w+)}", template)
        return "".join(f"(?P<{part}>.+?)" if place % 2 else re.escape(part) for place, part in enumerate(parts))

    return [(re.compile(pattern(english), re.DOTALL), korean) for english, korean in KOREAN_HINTS.items()]


def in_korean(text: str) -> str:
    """A sentence in Korean; as it is where it has no translation."""
    for pattern, korean in _patterns():
        if found := pattern.fullmatch(text):
            return korean.format(**found.groupdict())
    return text
