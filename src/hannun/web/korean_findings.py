"""The Korean texts of the doctor: reasons and findings, by their English template. Tests find missing ones."""

KOREAN_REASONS: dict[str, str] = {
    "KAFKA_BOOTSTRAP_SERVERS is not set": "KAFKA_BOOTSTRAP_SERVERS가 설정되지 않았습니다",
    "HANNUN_INGEST_SOURCE is servicebus, so nothing is counted from Kafka": (
        "HANNUN_INGEST_SOURCE가 servicebus라서 Kafka의 메시지는 집계하지 않습니다"
    ),
    "neither HANNUN_SERVICE_BUS_CONNECTION_STRING nor HANNUN_SERVICE_BUS_NAMESPACE is set": (
        "HANNUN_SERVICE_BUS_CONNECTION_STRING과 HANNUN_SERVICE_BUS_NAMESPACE가 모두 설정되지 않았습니다"
    ),
    "HANNUN_REPLICA_DATABASE_URL is not set": "HANNUN_REPLICA_DATABASE_URL이 설정되지 않았습니다",
    "it was not begun in time": "제때 시작하지 못했습니다",
    "it did not end in time": "제때 끝나지 않았습니다",
    "see {check}": "{check} 항목을 보세요",
    "the key ring cannot be used: see the check key-ring": "키 링을 쓸 수 없습니다. key-ring 항목을 보세요",
    "there is no key ring: see the check key-ring": "키 링이 없습니다. key-ring 항목을 보세요",
    "{table} is not partitioned": "{table} 테이블이 파티션으로 나뉘어 있지 않습니다",
    "the extension amcheck is not installed: CREATE EXTENSION amcheck, as a superuser": (
        "확장 amcheck가 설치되지 않았습니다. 슈퍼유저로 CREATE EXTENSION amcheck를 실행하세요"
    ),
    "{role} may not check indexes: GRANT EXECUTE ON FUNCTION {function}(regclass) TO {role}, as a superuser": (
        "역할 {role}에 인덱스를 검사할 권한이 없습니다. 슈퍼유저로 GRANT EXECUTE ON FUNCTION {function}(regclass) TO "
        "{role}을 실행하세요"
    ),
}
"""Why a check is unfinished or was skipped. What a server said is not translated."""

KOREAN_WORDS: dict[str, str] = {"not known": "알 수 없음"}
"""Words that stand in a finding's sentence where a figure is missing."""

_MISSED = "지난 {minutes}분 동안 조회 {lookups}번 가운데 {miss_percent}%가 캐시에 없었습니다(그 전 {before}). "

KOREAN_FINDINGS: dict[str, str] = {
    "{error}": "{error}",
    "{hint}": "{hint}",
    # -- servers
    "PostgreSQL accepts no connection: {error}": "PostgreSQL이 연결을 받지 않습니다: {error}",
    "the replica cannot be read, so the primary reads for all files: {error}": (
        "복제본을 읽을 수 없어 모든 파일을 주 서버에서 읽습니다: {error}"
    ),
    "Redis is away, so every answer is read from PostgreSQL and changes reach open pages late: {error}": (
        "Redis가 응답하지 않아 모든 답을 PostgreSQL에서 읽고, 열린 화면에 변화가 늦게 나타납니다: {error}"
    ),
    "no broker answers, so nothing is counted from the topics: {error}": (
        "응답하는 Kafka 브로커가 없어 토픽의 메시지를 집계하지 못합니다: {error}"
    ),
    "the clock of {server} is {seconds} s ahead of this machine's: tokens, ages of figures and the times of "
    "rounds are judged by different clocks": (
        "{server}의 시계가 이 서버보다 {seconds}초 빠릅니다. 토큰, 숫자의 나이, 라운드 시각을 서로 다른 시계로 "
        "판단합니다"
    ),
    "the clock of {server} is {seconds} s behind this machine's: tokens, ages of figures and the times of rounds "
    "are judged by different clocks": (
        "{server}의 시계가 이 서버보다 {seconds}초 느립니다. 토큰, 숫자의 나이, 라운드 시각을 서로 다른 시계로 "
        "판단합니다"
    ),
    "let both machines keep time by NTP; the one that is wrong shows it in its own time service": (
        "두 서버의 시각을 NTP로 맞추세요. 어느 쪽이 틀렸는지는 각 서버의 시각 서비스가 알려 줍니다"
    ),
    # -- schema
    "the schema is of version {found}, and this Hannun of {needed}: a deployment has not ended": (
        "스키마는 {found} 버전이고 이 프로그램은 {needed} 버전입니다. 배포가 끝나지 않았습니다"
    ),
    "replace the processes that are left of the version before": "이전 버전으로 남은 프로세스를 교체하세요",
    "the role {role} lacks {count} of its rights: {first}": "역할 {role}에 권한 {count}개가 없습니다: {first}",
    "grant them, as the owner of the tables": "테이블 소유자로 권한을 주세요",
    "the time zone of {where} is {zone}: other programs write DEFAULT now() in local time": (
        "{where}의 시간대가 {zone}입니다. 다른 프로그램이 DEFAULT now()를 현지 시각으로 기록합니다"
    ),
    "set it to UTC, as the owner; new sessions follow": "소유자로 UTC로 바꾸세요. 새 세션부터 적용됩니다",
    "the database {database} sets no time zone, as after a restore of a dump, which leaves it out": (
        "데이터베이스 {database}에 시간대 설정이 없습니다. 덤프에는 이 설정이 들어 있지 않아 복원 뒤에 이렇게 됩니다"
    ),
    # -- the timeline
    "the timeline lacks the months {missing}: does a schedule run? Its job create-months-ahead makes them": (
        "타임라인에 {missing} 파티션이 없습니다. schedule이 실행 중인가요? 작업 create-months-ahead가 만듭니다"
    ),
    "start a schedule, or make them now as the owner": "schedule을 시작하거나 소유자로 지금 만드세요",
    "the detachment of {month} was interrupted: no query reads its minutes, and no other month can be detached": (
        "{month} 파티션 분리가 중단됐습니다. 이 달의 분 단위 기록을 읽지 못하고 다른 달도 분리할 수 없습니다"
    ),
    "finish it, as the owner": "소유자로 마저 끝내세요",
    "public.timeline_data is a plain table, so each query of a time range reads the index of all years": (
        "public.timeline_data가 파티션 테이블이 아니라서 기간을 조회할 때마다 모든 해의 인덱스를 읽습니다"
    ),
    "count it again into a new database and swap it in: a replay makes the partitions; or restore a backup": (
        "새 데이터베이스에 다시 집계해 바꾸거나(replay가 파티션을 만듭니다) 백업을 복원하세요"
    ),
    "PostgreSQL plans to read {read} partitions for one month of an event: it prunes none (enable_partition_pruning)": (
        "이벤트의 한 달을 읽는 데 파티션 {read}개를 읽으려 합니다. 파티션을 걸러 내지 "
        "않습니다(enable_partition_pruning)"
    ),
    "switch pruning on again where it was switched off: for the database, a role, or the server": (
        "데이터베이스, 역할, 서버 가운데 꺼진 곳에서 다시 켜세요"
    ),
    "the BRIN index of the timeline's timestamps is missing, so reports over long ranges read whole partitions": (
        "타임라인 시각의 BRIN 인덱스가 없어 긴 기간의 보고서가 파티션을 통째로 읽습니다"
    ),
    "an index of the contract is missing on {table}, so its queries read the whole table": (
        "{table}에 약속된 인덱스가 없어 조회가 테이블 전체를 읽습니다"
    ),
    "create it, as the owner, at a quiet time: it locks out writers while it is built": (
        "한가한 시간에 소유자로 만드세요. 만드는 동안 쓰기가 멈춥니다"
    ),
    "PostgreSQL does not use the index {index}: its creation was interrupted": (
        "PostgreSQL이 인덱스 {index}를 쓰지 않습니다. 만들다가 중단됐습니다"
    ),
    "build it again, as the owner; writers go on meanwhile": "소유자로 다시 만드세요. 그동안 쓰기는 계속됩니다",
    "autovacuum is off for {table}, and {changed} rows changed since it was analysed, when it had {rows}: plans "
    "are guesses": (
        "{table}의 autovacuum이 꺼져 있고, 분석한 뒤(당시 {rows}행) {changed}행이 바뀌었습니다. 실행 계획이 "
        "부정확합니다"
    ),
    "{changed} rows of {table} changed since it was analysed, when it had {rows}: plans are guesses": (
        "{table}을 분석한 뒤(당시 {rows}행) {changed}행이 바뀌었습니다. 실행 계획이 부정확합니다"
    ),
    "as the owner, analyse it, and switch autovacuum on for it": "소유자 역할로 분석하고 autovacuum을 다시 켜세요",
    "analyse it, as the owner": "소유자 역할로 분석하세요",
    # -- capacity
    "{used} of the {most} connections of {scope} are open: new ones will be refused": (
        "연결 {most}개 가운데 {used}개가 열려 있습니다({scope}). 새 연결이 거부됩니다"
    ),
    "see which programs hold them; then lower HANNUN_POOL_SIZE_MAX of the processes, run fewer of them, or raise "
    "the limit": ("어느 프로그램이 쓰는지 보고, HANNUN_POOL_SIZE_MAX를 낮추거나 프로세스를 줄이거나 한도를 올리세요"),
    "{busy} connections of readers have been busy for {seconds} s and more, {locked} of them wait for locks, and "
    "the pool of a serve has {size}: requests wait for a connection": (
        "읽기 연결 {busy}개가 {seconds}초 넘게 쓰이고 있고 {locked}개는 잠금을 기다립니다. serve의 풀은 {size}개라서 "
        "요청이 연결을 기다립니다"
    ),
    "see what they run: a missing index or a lock explains most of it. HANNUN_POOL_SIZE_MAX makes the pool "
    "larger, where PostgreSQL has processors to spare": (
        "무엇을 실행하는지 보세요. 대부분 인덱스가 없거나 잠금 때문입니다. PostgreSQL에 CPU 여유가 있으면 "
        "HANNUN_POOL_SIZE_MAX로 풀을 키울 수 있습니다"
    ),
    "{waiting} sessions wait for a lock of session {pid} ({application}, {state}), the longest for {waited} s; "
    "its transaction began {transaction} s ago": (
        "세션 {pid}({application}, {state})의 잠금을 세션 {waiting}개가 기다립니다. 가장 오래 기다린 것은 "
        "{waited}초이고, 그 트랜잭션은 {transaction}초 전에 시작됐습니다"
    ),
    "end its transaction where it belongs; else end the session": (
        "그 프로그램에서 트랜잭션을 끝내고, 안 되면 세션을 끝내세요"
    ),
    "the database takes {size_mb} MB of the {limit_mb} MB of HANNUN_DATABASE_BYTES_MAX": (
        "데이터베이스가 HANNUN_DATABASE_BYTES_MAX {limit_mb}MB 가운데 {size_mb}MB를 씁니다"
    ),
    "enlarge its disk and the setting; or keep fewer months of the timeline: HANNUN_MONTHS_KEPT, then `hannun "
    "partitions`": (
        "디스크와 설정을 늘리거나, HANNUN_MONTHS_KEPT로 타임라인을 더 적게 보관하고 `hannun partitions`를 실행하세요"
    ),
    "the disk of {path} ({name}) has {free_percent} % free: {free_mb} MB": (
        "{path}({name}) 디스크에 {free_percent}%, {free_mb}MB가 남았습니다"
    ),
    "make room or enlarge it before it is full: a full disk of PostgreSQL stops all counting": (
        "가득 차기 전에 비우거나 늘리세요. PostgreSQL 디스크가 가득 차면 집계가 멈춥니다"
    ),
    "nobody reads the replication slot {slot}, and it keeps {mb} MB of WAL on PostgreSQL's disk, which grow until "
    "the disk is full": (
        "복제 슬롯 {slot}을 읽는 곳이 없어 PostgreSQL 디스크에 WAL {mb}MB가 쌓였고, 디스크가 가득 찰 때까지 늘어납니다"
    ),
    "start its reader again (the one that archives WAL, for example), or drop the slot": (
        "읽던 프로그램(예: WAL 보관)을 다시 시작하거나 슬롯을 지우세요"
    ),
    "PostgreSQL's disk is full, and nothing is counted until there is room: {error}": (
        "PostgreSQL의 디스크가 가득 차서 자리가 날 때까지 집계하지 못합니다: {error}"
    ),
    # -- counting
    "{place} is not read, and Kafka's retention goes on: {reason}": (
        "{place}을(를) 읽지 않고 있고 Kafka의 보관 기간은 계속 흐릅니다: {reason}"
    ),
    "{newest} messages became dead letters in the last hour, {before} in the hour before; most of them, {most}, "
    "are {kind} with the reason {reason}": (
        "지난 한 시간 동안 메시지 {newest}개를 쓰지 못했습니다(그 전 한 시간 {before}개). 가장 많은 것은 {kind}, 이유 "
        "{reason}, {most}개입니다"
    ),
    "look at one, correct what sends them, and retry them: docs/messages.md explains each reason": (
        "하나를 살펴보고 보내는 쪽을 고친 뒤 다시 집계하세요. 이유마다 docs/messages.md에 설명이 있습니다"
    ),
    "{count} invalidations are not delivered, the oldest for {oldest} s: Redis is away, or no process of Hannun runs": (
        "무효화 {count}건이 전달되지 않았고 가장 오래된 것은 {oldest}초 됐습니다. Redis가 응답하지 않거나 실행 중인 "
        "프로세스가 없습니다"
    ),
    "restore Redis, or start a serve, ingest or schedule; each of them delivers what is pending": (
        "Redis를 되살리거나 serve, ingest, schedule 가운데 하나를 시작하세요. 밀린 것을 전달합니다"
    ),
    "{count} events have participants or sales for an hour, and no event-created message: the API answers 404 for "
    "them": (
        "이벤트 {count}개에 한 시간 넘게 참여나 매출이 있는데 event-created 메시지가 없습니다. API는 이 이벤트에 "
        "404로 답합니다"
    ),
    "find out where their messages are: the topic's producer, its dead letters, or a partition that is stopped": (
        "메시지가 어디에 있는지 찾으세요. 보내는 쪽, 쓰지 못한 메시지, 멈춘 파티션을 확인하세요"
    ),
    # -- backups
    "Hannun makes no backups here: HANNUN_BACKUP_FOLDER is not set": (
        "여기서는 백업을 만들지 않습니다. HANNUN_BACKUP_FOLDER가 설정되지 않았습니다"
    ),
    "set it for schedule, or make sure that something else backs up PostgreSQL and proves it by restoring": (
        "schedule에 설정하거나, 다른 도구가 PostgreSQL을 백업하고 복원으로 확인하는지 챙기세요"
    ),
    "HANNUN_BACKUP_FOLDER is set, and no backup has succeeded yet": (
        "HANNUN_BACKUP_FOLDER가 설정됐지만 성공한 백업이 아직 없습니다"
    ),
    "make one now; it says what is in its way": "지금 만드세요. 무엇이 막는지 알려 줍니다",
    "no backup of kind {kind} has succeeded yet; backups of other kinds have": (
        "다른 종류의 백업은 성공했지만 {kind} 백업은 아직 성공한 적이 없습니다"
    ),
    "make one now, which says what is in its way; where none shall be made, set {setting} to nothing": (
        "지금 만드세요. 무엇이 막는지 알려 줍니다. 만들지 않으려면 {setting} 값을 비우세요"
    ),
    "the newest backup of kind {kind}, {name}, is {hours} hours old, and may be {hours_max}": (
        "가장 새로운 {kind} 백업 {name}이(가) {hours}시간 됐습니다. {hours_max}시간을 넘으면 안 됩니다"
    ),
    "make one now, and see in the log of schedule why none was made: its disk is full, or it does not run": (
        "지금 만들고, 왜 만들어지지 않았는지 schedule의 로그를 보세요. 디스크가 가득 찼거나 실행되지 않았습니다"
    ),
    "the last restore drill is {days} days old: nobody knows whether the newest backups can be restored": (
        "마지막 복원 훈련이 {days}일 전입니다. 새 백업을 복원할 수 있는지 확인되지 않았습니다"
    ),
    "no backup was ever restored in a drill: nobody knows whether one can be": (
        "복원 훈련을 한 적이 없습니다. 백업을 복원할 수 있는지 확인되지 않았습니다"
    ),
    "run a drill; it restores the newest backup into a scratch server and changes nothing": (
        "복원 훈련을 하세요. 가장 새로운 백업을 임시 서버에 복원하고 아무것도 바꾸지 않습니다"
    ),
    # -- data
    "{count} figures of {events} sampled events differ from the ledger; event number {event_no}: {table} has "
    "{found} participants, the ledger {expected}": (
        "표본 이벤트 {events}개에서 숫자 {count}개가 원장과 다릅니다. 이벤트 번호 {event_no}: {table}은 {found}명, "
        "원장은 {expected}명입니다"
    ),
    "see all of it; then count again from the logs into a shadow, compare, and swap. It is a defect, or somebody "
    "wrote to the tables by hand": (
        "전체를 확인한 뒤 로그에서 다시 집계해 비교하고 바꾸세요. 결함이거나 누군가 테이블을 직접 고쳤습니다"
    ),
    "the newest reconcile found {count} figures that differ from the ledgers": (
        "최근 reconcile에서 원장과 다른 숫자 {count}개가 나왔습니다"
    ),
    "run it again to see which; then count again from the logs into a shadow, compare, and swap": (
        "다시 실행해 어느 숫자인지 보고, 로그에서 다시 집계해 비교하고 바꾸세요"
    ),
    "a page of {table} is damaged: {error}": "{table}의 페이지가 손상됐습니다: {error}",
    "stop writing to it, find out all that is damaged, and restore the newest good backup; the disk or the memory "
    "of PostgreSQL's machine is broken": (
        "쓰기를 멈추고 손상 범위를 확인한 뒤 가장 새로운 정상 백업을 복원하세요. PostgreSQL 서버의 디스크나 메모리가 "
        "고장입니다"
    ),
    "PostgreSQL has read {failures} pages with a wrong checksum, the last at {last_at} UTC": (
        "PostgreSQL이 체크섬이 틀린 페이지 {failures}개를 읽었습니다. 마지막은 {last_at} UTC입니다"
    ),
    "find out what is damaged, and restore the newest good backup; the disk or the memory of PostgreSQL's machine "
    "is broken": (
        "손상 범위를 확인한 뒤 가장 새로운 정상 백업을 복원하세요. PostgreSQL 서버의 디스크나 메모리가 고장입니다"
    ),
    "the index {index} is damaged: {error}": "인덱스 {index}가 손상됐습니다: {error}",
    "find out all that is damaged, then build it again, as the owner: a unique one may have let rows be counted "
    "twice, which its build and `hannun reconcile` find": (
        "손상 범위를 확인한 뒤 소유자로 다시 만드세요. 고유 인덱스였다면 두 번 집계된 행이 있을 수 있으며, 다시 "
        "만들 때와 `hannun reconcile`이 찾아냅니다"
    ),
    "pages have no checksums, so a damaged one is noticed late or never": (
        "페이지에 체크섬이 없어 손상을 늦게 알거나 끝내 모를 수 있습니다"
    ),
    "switch them on while PostgreSQL is stopped": "PostgreSQL을 멈춘 동안 켜세요",
    # -- encrypted amounts
    "amounts are encrypted with the key {key}, which the key ring of this process lacks": (
        "금액이 키 {key}로 암호화돼 있는데 이 프로세스의 키 링에 그 키가 없습니다"
    ),
    "put the key into the file that HANNUN_KEY_RING_FILE names, for every process: without it no amount can be "
    "counted or answered": (
        "모든 프로세스의 HANNUN_KEY_RING_FILE 파일에 키를 넣으세요. 없으면 금액을 집계하거나 답하지 못합니다"
    ),
    "amounts are encrypted with the key {key}; the columns for other teams hold 0.00": (
        "금액이 키 {key}로 암호화돼 있습니다. 다른 팀이 읽는 열에는 0.00이 들어 있습니다"
    ),
    "nothing: this is how it was asked for": "할 일이 없습니다. 요청한 대로입니다",
    "amounts are encrypted with {keys}, and the active key is {active}": (
        "금액이 {keys}로 암호화돼 있고 지금 쓰는 키는 {active}입니다"
    ),
    "encrypt them with the active key; then another may leave the key ring where no id was forgotten with it": (
        "지금 쓰는 키로 암호화하세요. 그러면 나머지 키 중 잊힌 ID에 쓰이지 않은 것은 키 링에서 뺄 수 있습니다"
    ),
    "the key ring cannot be used: {reason}. Processes that run go on with the keys of before; none starts": (
        "키 링을 쓸 수 없습니다: {reason}. 실행 중인 프로세스는 읽어 둔 키를 계속 쓰고, 새 프로세스는 시작하지 못합니다"
    ),
    "amounts are encrypted, and this process has no key ring: they can be neither counted nor answered": (
        "금액이 암호화돼 있는데 이 프로세스에 키 링이 없어 금액을 집계하지도 답하지도 못합니다"
    ),
    "ids are forgotten, and this process has no key ring: nothing is counted": (
        "잊힌 ID가 있는데 이 프로세스에 키 링이 없어 아무것도 집계하지 않습니다"
    ),
    "give every process the ring: HANNUN_KEY_RING_FILE names its file. What waits is counted then": (
        "모든 프로세스에 키 링을 주세요. HANNUN_KEY_RING_FILE이 그 파일을 가리킵니다. 그러면 밀린 것이 집계됩니다"
    ),
    "correct the file: {hint}": "파일을 고치세요: {hint}",
    "ids were forgotten with the key {key}, which the key ring of this process lacks: nothing is counted": (
        "ID를 잊는 데 쓴 키 {key}가 이 프로세스의 키 링에 없어 아무것도 집계하지 않습니다"
    ),
    "put the key back into the file that HANNUN_KEY_RING_FILE names, for every process: without it forgotten ids "
    "are not recognized": (
        "모든 프로세스에서 HANNUN_KEY_RING_FILE이 가리키는 파일에 키를 되돌려 놓으세요. 없으면 잊힌 ID를 알아보지 "
        "못합니다"
    ),
    "the conversion of amounts ({operation}, by {by}) stopped {minutes} minutes ago: they are in both forms": (
        "금액 변환({operation}, {by})이 {minutes}분 전에 멈췄습니다. 두 형태가 섞여 있습니다"
    ),
    "run it again: it goes on where it stopped": "다시 실행하세요. 멈춘 곳부터 이어집니다",
    # -- answers in Redis
    "{miss_percent} % of {lookups} look-ups in {minutes} minutes missed ({before} before), while Redis "
    "evicted {evicted} keys: its memory of {max_mb} MB is too small": (
        _MISSED + "그동안 Redis가 키 {evicted}개를 밀어냈습니다. 메모리 {max_mb}MB가 부족합니다"
    ),
    "give Redis more memory, or a server of its own; or store less: a shorter HANNUN_PROCESSED_MARK_LIFETIME_S": (
        "Redis 메모리를 늘리거나 전용 서버를 쓰세요. HANNUN_PROCESSED_MARK_LIFETIME_S를 줄이면 덜 저장합니다"
    ),
    "{miss_percent} % of {lookups} look-ups in {minutes} minutes missed ({before} before), while "
    "{expired} keys expired: an answer lives {lifetime} s and is rebuilt every {period} s": (
        _MISSED + "그동안 키 {expired}개가 만료됐습니다. 답은 {lifetime}초 살고 {period}초마다 다시 만들어집니다"
    ),
    "set HANNUN_ANSWER_LIFETIME_S of serve and schedule above the period of HANNUN_REFRESH_AT; changes invalidate "
    "answers at once, so a long lifetime shows nothing outdated": (
        "serve와 schedule의 HANNUN_ANSWER_LIFETIME_S를 HANNUN_REFRESH_AT 주기보다 길게 하세요. 바뀌면 바로 "
        "무효화되므로 길어도 지난 값을 보이지 않습니다"
    ),
    "{miss_percent} % of {lookups} look-ups in {minutes} minutes missed ({before} before), while "
    "answers were invalidated {invalidations} times: events change more often than they are read": (
        _MISSED + "그동안 답이 {invalidations}번 무효화됐습니다. 이벤트가 읽히는 것보다 자주 바뀝니다"
    ),
    "invalidate an event less often: with HANNUN_INVALIDATIONS_APART_S=1 its answers are at most a second older; "
    "or raise HANNUN_BATCH_WAIT_S, so that a batch holds more messages": (
        "무효화를 줄이세요. HANNUN_INVALIDATIONS_APART_S=1이면 답이 최대 1초 늦어집니다. HANNUN_BATCH_WAIT_S를 올려 "
        "한 번에 더 많이 집계해도 됩니다"
    ),
    "{miss_percent} % of {lookups} look-ups in {minutes} minutes missed ({before} before), and neither "
    "evictions nor expiry nor invalidations explain it: these answers were read for the first time": (
        _MISSED + "밀려남, 만료, 무효화로 설명되지 않습니다. 처음 읽힌 답입니다"
    ),
    "nothing, after a start of Redis or a campaign that brings new events. Else look at who reads so many events": (
        "Redis를 막 시작했거나 새 이벤트가 몰렸다면 할 일이 없습니다. 아니면 누가 이렇게 많은 이벤트를 읽는지 보세요"
    ),
    "Redis uses {used_mb} of {max_mb} MB and evicts nothing (maxmemory-policy noeviction): when it is full it "
    "stores no answer, and limits of callers are no longer shared": (
        "Redis가 {max_mb}MB 가운데 {used_mb}MB를 쓰고 아무것도 밀어내지 않습니다(maxmemory-policy noeviction). 가득 "
        "차면 답을 저장하지 못합니다"
    ),
    "let it evict the answers that nobody reads, or give it more memory": (
        "읽히지 않는 답을 밀어내게 하거나 메모리를 늘리세요"
    ),
    # -- the refresh and the channels
    "no round of the refresh has ended for {minutes} minutes, and one runs: figures of channels keep their age": (
        "{minutes}분 동안 끝난 라운드가 없고 하나가 실행 중입니다. 채널의 숫자가 갱신되지 않습니다"
    ),
    "no round of the refresh has ended for {minutes} minutes, and none runs: does a schedule run?": (
        "{minutes}분 동안 끝난 라운드가 없고 실행 중인 것도 없습니다. schedule이 실행 중인가요?"
    ),
    "see which channel the round waits for": "라운드가 어느 채널을 기다리는지 보세요",
    "start a schedule; the next round catches up": "schedule을 시작하세요. 다음 라운드가 따라잡습니다",
    "an operator holds the breaker of {channel} open: it is not called, and its figures grow old": (
        "운영자가 {channel}의 차단기를 열어 두었습니다. 호출하지 않아 숫자가 오래됩니다"
    ),
    "close it when the maintenance is over": "점검이 끝나면 닫으세요",
    "calls to {channel} end at their time-out (read_s = {read_s}, call_s = {call_s}): {reasons}": (
        "{channel} 호출이 제한 시간(read_s = {read_s}, call_s = {call_s})에 끊깁니다: {reasons}"
    ),
    "see how long a call takes. If the channel answers later than that, raise [limits] in its declaration; if it "
    "does not answer at all, ask the channel": (
        "호출이 얼마나 걸리는지 보세요. 더 늦게 답하는 채널이면 선언의 [limits]를 올리고, 아예 답하지 않으면 채널에 "
        "문의하세요"
    ),
    "{channel} is not called, its breaker is open: of {calls} calls {failed_calls} failed and {slow_calls} were "
    "slow; reasons of the newest failures: {reasons}": (
        "{channel}의 차단기가 열려 호출하지 않습니다. 호출 {calls}번 가운데 {failed_calls}번 실패, {slow_calls}번 "
        "느림. 최근 실패 이유: {reasons}"
    ),
    "nothing, if the channel itself is down: trial calls close the breaker. The check says which step of a call "
    "fails": (
        "채널 자체의 장애라면 할 일이 없습니다. 시험 호출이 차단기를 닫습니다. 점검 명령이 어느 단계에서 실패하는지 "
        "알려 줍니다"
    ),
    "{failed} of {asked} events failed on {channel} in the newest round, and its breaker is closed: it opens at "
    "half of at least {calls_min} calls in {window} s, and these were fewer; reasons: {reasons}": (
        "최근 라운드에서 {channel}의 이벤트 {asked}개 가운데 {failed}개가 실패했는데 차단기가 닫혀 있습니다. "
        "{window}초에 {calls_min}번 이상 호출해야 열리는데 그보다 적었습니다. 이유: {reasons}"
    ),
    "the check says which step of a call fails. Until it is corrected, hold the breaker open, so that no call is "
    "made": ("점검 명령이 어느 단계에서 실패하는지 알려 줍니다. 고칠 때까지 차단기를 열어 두면 호출하지 않습니다"),
    "all {measured} measurements of {channel} are stale, though its calls do not fail: its budget does not reach": (
        "{channel}의 측정값 {measured}개가 모두 오래됐습니다. 호출은 실패하지 않으므로 호출 한도가 모자랍니다"
    ),
    "see what became of the newest round; raise its quota with the channel and in its declaration": (
        "최근 라운드 결과를 보고, 채널과 협의해 한도를 올린 뒤 선언에 반영하세요"
    ),
    # -- Kafka
    "{waiting} messages of {topic} wait in {partitions} partitions, some for more than {seconds} s, and none is "
    "counted: no ingest runs, or it cannot write": (
        "{topic}의 메시지 {waiting}개가 파티션 {partitions}개에서 기다리고 일부는 {seconds}초가 넘었습니다. 집계되는 "
        "것이 없습니다. ingest가 실행되지 않거나 쓰지 못합니다"
    ),
    "start an ingest; where one runs, its log says what it waits for": (
        "ingest를 시작하세요. 실행 중이라면 무엇을 기다리는지 로그에 있습니다"
    ),
    "{waiting} messages of {topic} wait in {partitions} partitions, some for more than {seconds} s, though {rate} "
    "are counted a second": (
        "{topic}의 메시지 {waiting}개가 파티션 {partitions}개에서 기다리고 일부는 {seconds}초가 넘었습니다. 초당 "
        "{rate}개를 집계하고 있습니다"
    ),
    "start more ingest processes, up to one for each partition; where PostgreSQL is busy, look at slow queries": (
        "ingest를 파티션 수까지 더 시작하세요. PostgreSQL이 바쁘면 느린 쿼리를 보세요"
    ),
    "records of {count} partitions are dated more than a minute ahead of this machine's clock: a broker's or a "
    "producer's clock is ahead, or this one is behind": (
        "파티션 {count}개의 레코드 시각이 이 서버의 시계보다 1분 넘게 앞섭니다. 브로커나 보내는 쪽의 시계가 빠르거나 "
        "이 서버가 느립니다"
    ),
    "let all machines keep time by NTP. Retention by time keeps such records for longer": (
        "모든 서버의 시각을 NTP로 맞추세요. 이런 레코드는 보관 기간이 길어집니다"
    ),
    # -- Service Bus
    "nothing is counted from {queues}: {error}": "{queues}의 메시지를 집계하지 못합니다: {error}",
    "the oldest message of {queue} came {seconds} s ago, though messages are counted": (
        "{queue}의 가장 오래된 메시지가 {seconds}초 전에 왔습니다. 집계는 되고 있습니다"
    ),
    "start more ingest processes; where PostgreSQL is busy, look at slow queries": (
        "ingest를 더 시작하세요. PostgreSQL이 바쁘면 느린 쿼리를 보세요"
    ),
    "the oldest message of {queue} came {seconds} s ago, and none is counted: no ingest reads Service Bus, or it "
    "cannot write": (
        "{queue}의 가장 오래된 메시지가 {seconds}초 전에 왔는데 집계되는 것이 없습니다. Service Bus를 읽는 ingest가 "
        "없거나 쓰지 못합니다"
    ),
    "the dead-letter subqueue of {queue} holds {count} messages or more that nothing has counted, most of them for the "
    "reason {reason}": (
        "{queue}의 배달 못한 편지 큐에 집계되지 않은 메시지가 {count}개 이상 있습니다. 가장 많은 이유: {reason}"
    ),
    "find out why, as an ingest that was killed for its memory or a time to live; then move them back to the queue: "
    "docs/operating.md, Service Bus": (
        "까닭을 찾으세요(메모리 때문에 죽은 ingest, 메시지의 유효 시간 등). 그다음 큐로 되돌리세요: "
        "docs/operating.md의 Service Bus"
    ),
    "the dead-letter subqueue of {queue} holds {count} messages or more, which are also in the table of dead letters; "
    "it counts against the size of the queue": (
        "{queue}의 배달 못한 편지 큐에 메시지가 {count}개 이상 있습니다. 쓰지 못한 메시지 표에도 있고, 큐의 용량을 "
        "차지합니다"
    ),
    "empty it when you have looked at them; the table keeps its rows": "확인했으면 비우세요. 표의 행은 남습니다",
}
