/** Texts of the checks of the running system. */

const ko = {
  operations: {
    title: "시스템 점검",
    back: "처음으로",
    /** @param {string} severity @param {number} n */
    headline: (severity, n) =>
      n === 0
        ? severity === "ok"
          ? "모두 정상이에요."
          : "끝나지 않은 점검이 있어요."
        : { critical: `지금 바로 봐야 할 문제가 있어요. 모두 ${n}건이에요.`, warning: `살펴볼 문제가 ${n}건 있어요.`, notice: `알아 둘 것이 ${n}건 있어요.` }[severity],
    /** @param {string} when */ checkedAt: (when) => `${when}에 점검했어요. 30초마다 다시 점검해요.`,
    /** @param {string} when */ notUpdated: (when) => `서버에 닿지 않아요. ${when}의 결과예요.`,
    remedy: "할 일:",
    statements: "붙여 넣을 명령",
    /** @param {string} check */ described: (check) => `설명: docs/doctor.md의 ${check} · 이것만 다시 점검: hannun doctor --only ${check}`,
    allChecks: "모든 점검",
    allChecksFine: "모든 점검이 아무것도 찾지 못했어요",
    severities: { critical: "심각", warning: "주의", notice: "알림" },
    outcomes: { ok: "정상", found: "발견", unfinished: "못 끝냄", skipped: "건너뜀" },
    checks: /** @type {Record<string, string>} */ ({ postgresql: "PostgreSQL 연결", schema: "스키마 버전", rights: "역할의 권한", "time-zone": "시간대", "months-ahead": "다음 달 파티션", partitioned: "타임라인 파티션", pruning: "파티션 걸러 내기", indexes: "인덱스", statistics: "테이블 통계", connections: "연결 수", pool: "연결 풀", locks: "잠금", "postgresql-disk": "PostgreSQL 디스크", disk: "디스크", "replication-slots": "복제 슬롯", replica: "복제본", "stopped-partitions": "멈춘 Kafka 파티션", "dead-letters": "쓰지 못한 메시지", invalidations: "캐시 무효화", "uncreated-events": "생성 메시지 없는 이벤트", backups: "백업", "restore-drill": "복원 훈련", drift: "원장과의 차이", "key-ring": "암호화 키", amounts: "금액 암호화", "damaged-indexes": "손상된 인덱스", "damaged-pages": "손상된 페이지", refresh: "5분 라운드", channels: "채널", redis: "Redis 연결", "cache-misses": "캐시 적중", "redis-memory": "Redis 메모리", clocks: "서버 시계", kafka: "Kafka 연결", lag: "집계 지연", "record-times": "레코드 시각", "service-bus": "Service Bus 연결과 지연", "service-bus-dead-letters": "Service Bus 배달 못한 메시지" }),
  },
};

/** @type {typeof ko} */
const en = {
  operations: {
    title: "System checks",
    back: "Start page",
    headline: (severity, n) =>
      n === 0
        ? severity === "ok"
          ? "Everything is in order."
          : "Some checks could not be finished."
        : {
            critical: `Something needs somebody now: ${n === 1 ? "1 finding" : `${n} findings`}.`,
            warning: n === 1 ? "1 finding to look at." : `${n} findings to look at.`,
            notice: n === 1 ? "1 thing to know." : `${n} things to know.`,
          }[severity],
    checkedAt: (when) => `Checked ${when}, and again every 30 s.`,
    notUpdated: (when) => `The server cannot be reached. These are the results of ${when}.`,
    remedy: "Do:",
    statements: "To paste",
    described: (check) => `Described in docs/doctor.md under ${check} · to check it again: hannun doctor --only ${check}`,
    allChecks: "All checks",
    allChecksFine: "No check found anything",
    severities: { critical: "Critical", warning: "Warning", notice: "Notice" },
    outcomes: { ok: "OK", found: "Found", unfinished: "Unfinished", skipped: "Skipped" },
    checks: { postgresql: "PostgreSQL connection", schema: "Schema version", rights: "Rights of roles", "time-zone": "Time zone", "months-ahead": "Months ahead", partitioned: "Timeline partitions", pruning: "Partition pruning", indexes: "Indexes", statistics: "Table statistics", connections: "Connections", pool: "Connection pool", locks: "Locks", "postgresql-disk": "PostgreSQL's disk", disk: "Disks", "replication-slots": "Replication slots", replica: "Replica", "stopped-partitions": "Stopped Kafka partitions", "dead-letters": "Dead letters", invalidations: "Invalidations", "uncreated-events": "Events never created", backups: "Backups", "restore-drill": "Restore drill", drift: "Drift", "key-ring": "Key ring", amounts: "Encrypted amounts", "damaged-indexes": "Damaged indexes", "damaged-pages": "Damaged pages", refresh: "Refresh rounds", channels: "Channels", redis: "Redis connection", "cache-misses": "Cache misses", "redis-memory": "Redis memory", clocks: "Clocks", kafka: "Kafka connection", lag: "Lag", "record-times": "Record times", "service-bus": "Service Bus and its lag", "service-bus-dead-letters": "Dead letters of Service Bus" },
  },
};

export const operationsTexts = { ko, en };
