-- What channels measure, and the rounds that ask them.
CREATE TABLE hannun.channel_measurements (
    event_no         integer     NOT NULL,
    channel_no       integer     NOT NULL,
    measured_at      timestamp,
    impressions      integer,
    views            integer,
    clicks           integer,
    conversions      integer,
    likes            integer,
    comments         integer,
    shares           integer,
    total_calls      integer,
    completed_calls  integer,
    average_duration integer,
    falls            jsonb,
    imported         boolean     NOT NULL DEFAULT false,
    polled_at        timestamp,
    refused          text,
    PRIMARY KEY (event_no, channel_no)
) WITH (fillfactor = 60);

CREATE TABLE hannun.channel_breakers (
    channel    text      NOT NULL PRIMARY KEY,
    version    bigint    NOT NULL,
    state      text      NOT NULL CHECK (state IN ('closed', 'open', 'half-open')),
    since      timestamp NOT NULL,
    details    jsonb     NOT NULL
);

CREATE TABLE hannun.channel_budgets (
    scope            text      NOT NULL,
    budget           text      NOT NULL,
    window_starts_at timestamp NOT NULL,
    units            integer   NOT NULL CHECK (units >= 0),
    free_at          timestamp,
    blocked_until    timestamp,
    PRIMARY KEY (scope, budget)
);

CREATE TABLE hannun.rounds (
    job          text      NOT NULL,
    due_at       timestamp NOT NULL,
    owner        text      NOT NULL,
    epoch        bigint    NOT NULL,
    began_at     timestamp NOT NULL,
    heartbeat_at timestamp NOT NULL,
    deadline_at  timestamp NOT NULL,
    ended_at     timestamp,
    result       jsonb,
    PRIMARY KEY (job, due_at)
);
CREATE UNIQUE INDEX rounds_open ON hannun.rounds (job) WHERE ended_at IS NULL;

CREATE TABLE hannun.round_work (
    job          text      NOT NULL,
    due_at       timestamp NOT NULL,
    work_no      integer   NOT NULL,
    kind         text      NOT NULL,
    channel      text,
    event_nos    integer[] NOT NULL,
    owner        text,
    epoch        bigint    NOT NULL DEFAULT 0,
    heartbeat_at timestamp,
    done_at      timestamp,
    result       jsonb,
    PRIMARY KEY (job, due_at, work_no)
);
CREATE INDEX round_work_open ON hannun.round_work (job, due_at, work_no) WHERE done_at IS NULL;

-- From when on what a channel has measured is stale.
CREATE FUNCTION hannun.stale_at(measured_at timestamp, imported boolean, stale_after interval, status text, status_at timestamp,
                                ends_at timestamp)
RETURNS timestamp LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN status = 'ACTIVE'
                  OR measured_at + CASE WHEN imported THEN interval '1 day' ELSE stale_after END
                     < CASE status WHEN 'ENDED' THEN status_at ELSE least(status_at, ends_at) END
                THEN measured_at + CASE WHEN imported THEN interval '1 day' ELSE stale_after END END
$$;

-- locks: nothing
