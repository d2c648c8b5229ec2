-- The runs of backups, restores and other operations.
CREATE TABLE hannun.operation_runs (
    run_no     bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text             NOT NULL CHECK (kind IN ('backup-logical', 'backup-physical', 'backup-redis', 'wal-archive', 'verify',
                                                         'drill', 'restore', 'reconcile')),
    name       text             NOT NULL DEFAULT '',
    started_at timestamp        NOT NULL,
    ended_at   timestamp,
    outcome    text             CHECK (outcome IN ('succeeded', 'failed')),
    seconds    double precision,
    bytes      bigint,
    detail     jsonb            NOT NULL DEFAULT '{}',
    CONSTRAINT operation_runs_ended CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

-- locks: nothing
