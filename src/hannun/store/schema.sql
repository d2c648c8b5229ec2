-- The whole truth for a new database: what all migrations together make, to be read in one piece.
--
--     the contract (schema public) · our own (schema hannun) · views · functions · who may do what · the version
--
-- `hannun migrate` runs the migrations and not this file; a test compares what both make, down to each grant. A change
-- of the schema is a new migration and the same change here. Times are UTC in `timestamp` columns; money is won.

CREATE SCHEMA hannun;

-- -- the contract ----------------------------------------------------------------------------------------------

CREATE TABLE public.event_stats (
    id                 bigserial      NOT NULL,
    event_id           varchar(36)    NOT NULL,
    event_title        varchar(255)   NOT NULL,
    user_id            varchar(36)    NOT NULL,
    total_participants integer        NOT NULL DEFAULT 0,
    total_views        integer        NOT NULL DEFAULT 0,
    estimated_roi      decimal(10, 2) NOT NULL DEFAULT 0.00,
    target_roi         decimal(10, 2) NOT NULL DEFAULT 0.00,
    sales_growth_rate  decimal(10, 2) NOT NULL DEFAULT 0.00,
    total_investment   decimal(15, 2) NOT NULL DEFAULT 0.00,
    expected_revenue   decimal(15, 2) NOT NULL DEFAULT 0.00,
    status             varchar(20)    NOT NULL DEFAULT 'ACTIVE',
    created_at         timestamp      NOT NULL DEFAULT now(),
    updated_at         timestamp      NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CONSTRAINT uk_event_stats_event_id UNIQUE (event_id),
    CONSTRAINT ck_event_stats_total_participants CHECK (total_participants >= 0),
    CONSTRAINT ck_event_stats_total_views CHECK (total_views >= 0),
    CONSTRAINT ck_event_stats_estimated_roi CHECK (estimated_roi >= 0),
    CONSTRAINT ck_event_stats_target_roi CHECK (target_roi >= 0),
    CONSTRAINT ck_event_stats_total_investment CHECK (total_investment >= 0),
    CONSTRAINT ck_event_stats_expected_revenue CHECK (expected_revenue >= 0),
    CONSTRAINT ck_event_stats_status CHECK (status IN ('ACTIVE', 'ENDED', 'ARCHIVED'))
);
CREATE INDEX idx_event_stats_user_id ON public.event_stats (user_id);
CREATE INDEX idx_event_stats_status ON public.event_stats (status);
CREATE INDEX idx_event_stats_created_at ON public.event_stats (created_at DESC);

CREATE TABLE public.channel_stats (
    id                bigserial      NOT NULL,
    event_id          varchar(36)    NOT NULL,
    channel_name      varchar(50)    NOT NULL,
    channel_type      varchar(20)    NOT NULL,
    impressions       integer        NOT NULL DEFAULT 0,
    views             integer        NOT NULL DEFAULT 0,
    clicks            integer        NOT NULL DEFAULT 0,
    participants      integer        NOT NULL DEFAULT 0,
    conversions       integer        NOT NULL DEFAULT 0,
    distribution_cost decimal(15, 2) NOT NULL DEFAULT 0.00,
    likes             integer        NOT NULL DEFAULT 0,
    comments          integer        NOT NULL DEFAULT 0,
    shares            integer        NOT NULL DEFAULT 0,
    total_calls       integer        NOT NULL DEFAULT 0,
    completed_calls   integer        NOT NULL DEFAULT 0,
    average_duration  integer        NOT NULL DEFAULT 0,
    created_at        timestamp      NOT NULL DEFAULT now(),
    updated_at        timestamp      NOT NULL DEFAULT now(),
    PRIMARY KEY (id),
    CONSTRAINT uk_channel_stats_event_channel UNIQUE (event_id, channel_name),
    CONSTRAINT ck_channel_stats_impressions CHECK (impressions >= 0),
    CONSTRAINT ck_channel_stats_views CHECK (views >= 0),
    CONSTRAINT ck_channel_stats_clicks CHECK (clicks >= 0),
    CONSTRAINT ck_channel_stats_participants CHECK (participants >= 0),
    CONSTRAINT ck_channel_stats_conversions CHECK (conversions >= 0),
    CONSTRAINT ck_channel_stats_distribution_cost CHECK (distribution_cost >= 0),
    CONSTRAINT ck_channel_stats_total_calls CHECK (total_calls >= 0),
    CONSTRAINT ck_channel_stats_completed_calls CHECK (completed_calls >= 0 AND completed_calls <= total_calls),
    CONSTRAINT ck_channel_stats_average_duration CHECK (average_duration >= 0),
    CONSTRAINT ck_channel_stats_channel_type CHECK (channel_type IN ('TV', 'SNS', 'VOICE'))
);
CREATE INDEX idx_channel_stats_event_id ON public.channel_stats (event_id);
CREATE INDEX idx_channel_stats_channel_type ON public.channel_stats (channel_type);
CREATE INDEX idx_channel_stats_participants ON public.channel_stats (participants DESC);

CREATE TABLE public.timeline_data (
    id                      bigserial   NOT NULL,
    event_id                varchar(36) NOT NULL,
    timestamp               timestamp   NOT NULL,
    participants            integer     NOT NULL DEFAULT 0,
    views                   integer     NOT NULL DEFAULT 0,
    engagement              integer     NOT NULL DEFAULT 0,
    conversions             integer     NOT NULL DEFAULT 0,
    cumulative_participants integer     NOT NULL DEFAULT 0,
    created_at              timestamp   NOT NULL DEFAULT now(),
    updated_at              timestamp   NOT NULL DEFAULT now(),
    -- A key of a partitioned table must contain what it is partitioned by, and buckets are unique anyhow.
    CONSTRAINT idx_timeline_event_timestamp PRIMARY KEY (event_id, timestamp),
    CONSTRAINT ck_timeline_participants CHECK (participants >= 0),
    CONSTRAINT ck_timeline_views CHECK (views >= 0),
    CONSTRAINT ck_timeline_engagement CHECK (engagement >= 0),
    CONSTRAINT ck_timeline_conversions CHECK (conversions >= 0),
    CONSTRAINT ck_timeline_cumulative_participants CHECK (cumulative_participants >= 0)
) PARTITION BY RANGE (timestamp);
CREATE INDEX idx_timeline_timestamp ON public.timeline_data (timestamp ASC);
CREATE INDEX idx_timeline_brin_timestamp ON public.timeline_data USING brin (timestamp);

-- updated_at changes with each write, whoever writes. Our own statements set it, so the trigger only fires for others.
CREATE FUNCTION hannun.touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp() AT TIME ZONE 'UTC';
    RETURN NEW;
END $$;
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.event_stats
    FOR EACH ROW WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION hannun.touch_updated_at();
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.channel_stats
    FOR EACH ROW WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION hannun.touch_updated_at();
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON public.timeline_data
    FOR EACH ROW WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION hannun.touch_updated_at();

-- -- our own ---------------------------------------------------------------------------------------------------

-- One row: what must stay with the data for ever. The key hashes participant ids that are not UUIDs; with another
-- key the same person would count twice, so it lives where the counts live and is restored with them.
CREATE TABLE hannun.identity (
    is_the_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    participant_key bytea   NOT NULL
);
INSERT INTO hannun.identity (participant_key)
SELECT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || clock_timestamp()::text, 'UTF8'));

-- Every channel that was ever named. `key` is the form in which names are compared; the type is NULL where only a
-- distribution can tell it.
CREATE TABLE hannun.channels (
    channel_no   integer      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key          text         NOT NULL UNIQUE,
    name         varchar(50)  NOT NULL,
    channel_type varchar(20)  CHECK (channel_type IN ('TV', 'SNS', 'VOICE')),
    created_at   timestamp    NOT NULL DEFAULT now()
);

-- Every event of which something was told, also before its event-created: until then user_id is NULL and there is no
-- row in event_stats. A batch locks its events here, in the order of event_no, before it changes anything else: so two
-- batches cannot deadlock, and what a batch reads of an event stays true until it commits.
-- `version` is the microsecond (since 1970) of the newest change and always rises, also when the clock does not.
-- `cumulative_owed_from` is the minute from which on what is made of the timeline is owed: its cumulative column and its
-- quarters. Whoever writes a minute of the timeline lowers it to that minute, in the same transaction; the year 9999 is none.
CREATE TABLE hannun.events (
    event_no              integer        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id              varchar(36)    NOT NULL UNIQUE,
    first_seen_at         timestamp      NOT NULL DEFAULT now(),
    version               bigint         NOT NULL DEFAULT 0,
    participants          integer        NOT NULL DEFAULT 0 CHECK (participants >= 0),
    unattributed          integer        NOT NULL DEFAULT 0 CHECK (unattributed BETWEEN 0 AND participants),
    sales                 integer        NOT NULL DEFAULT 0,
    recorded_revenue      numeric(20, 2) NOT NULL DEFAULT 0,
    cumulative_owed_from  timestamp      NOT NULL DEFAULT '9999-01-01',
    status                varchar(20)    NOT NULL DEFAULT 'ACTIVE',
    status_at             timestamp,
    plan_at               timestamp,
    user_id               varchar(36),
    title                 varchar(255),
    total_investment      decimal(15, 2) NOT NULL DEFAULT 0,
    expected_revenue      decimal(15, 2) NOT NULL DEFAULT 0,
    target_roi            decimal(10, 2) NOT NULL DEFAULT 0,
    baseline_revenue      decimal(15, 2),
    starts_at             timestamp,
    ends_at               timestamp
    -- Room for the next version of a row on its own page: these rows change with every batch.
) WITH (fillfactor = 60);
CREATE INDEX events_user_id ON hannun.events (user_id, event_no) WHERE user_id IS NOT NULL;
CREATE INDEX events_cumulative_owed ON hannun.events (event_no) WHERE cumulative_owed_from < '9999-01-01';

-- The timeline by quarters of an hour (UTC), of which every hour, day, week and month of every zone is made: a year is 35,040
-- rows instead of 525,600. True below the quarter of `cumulative_owed_from`, and of months that are in the timeline; what
-- lies beyond nobody reads. The figures stand in the index, where an event's lie side by side; in the table they lie
-- among those of all events.
CREATE TABLE hannun.timeline_quarters (
    event_no     integer   NOT NULL,
    quarter      timestamp NOT NULL,
    participants bigint    NOT NULL,
    views        bigint    NOT NULL,
    engagement   bigint    NOT NULL,
    conversions  bigint    NOT NULL,
    PRIMARY KEY (event_no, quarter) INCLUDE (participants, views, engagement, conversions)
    -- The index alone answers only for pages that were vacuumed since they were written.
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);

-- The proof: each participant once. Small on purpose, 24 bytes of data a row: `came` is minute and channel number in one
-- integer (store/arrivals.py). What does not fit has NULL there and stands in `minute` and `channel_no`, which are NULL
-- for all others and then take no room. Read it through hannun.arrivals.
CREATE TABLE hannun.participants (
    participant uuid    NOT NULL,
    event_no    integer NOT NULL,
    minute      integer,
    channel_no  integer,
    came        integer,
    PRIMARY KEY (event_no, participant),
    CONSTRAINT participants_came_check CHECK ((came IS NULL) = (minute IS NOT NULL) AND (came IS NULL) = (channel_no IS NOT NULL))
);

-- Participants by a channel whose type nobody has told yet for their event: part of events.unattributed.
CREATE TABLE hannun.untyped_participants (
    event_no     integer NOT NULL,
    channel_no   integer NOT NULL,
    participants integer NOT NULL CHECK (participants > 0),
    PRIMARY KEY (event_no, channel_no)
);

-- What became of each distribution: the newest state, and the cost of the newest success.
CREATE TABLE hannun.distributions (
    event_no       integer        NOT NULL,
    channel_no     integer        NOT NULL,
    channel_type   varchar(20)    NOT NULL CHECK (channel_type IN ('TV', 'SNS', 'VOICE')),
    state          varchar(20)    NOT NULL CHECK (state IN ('SUCCESS', 'FAILED')),
    completed_at   timestamp      NOT NULL,
    expected_views integer        CHECK (expected_views >= 0),
    cost           decimal(15, 2) NOT NULL CHECK (cost >= 0),
    succeeded_at   timestamp,
    PRIMARY KEY (event_no, channel_no)
);

-- The ledger of sales; a refund has a negative amount.
CREATE TABLE hannun.sales (
    event_no   integer        NOT NULL,
    sale_id    varchar(64)    NOT NULL,
    amount     decimal(15, 2) NOT NULL,
    sold_at    timestamp      NOT NULL,
    channel_no integer        NOT NULL,
    PRIMARY KEY (event_no, sale_id)
);

-- What channels measured, as it rose: the ledger behind channel_stats and the timeline's views, engagement, conversions.
CREATE TABLE hannun.increments (
    event_no        integer   NOT NULL,
    channel_no      integer   NOT NULL,
    minute          timestamp NOT NULL,
    baseline        boolean   NOT NULL DEFAULT false,
    impressions     integer   NOT NULL DEFAULT 0,
    views           integer   NOT NULL DEFAULT 0,
    clicks          integer   NOT NULL DEFAULT 0,
    conversions     integer   NOT NULL DEFAULT 0,
    likes           integer   NOT NULL DEFAULT 0,
    comments        integer   NOT NULL DEFAULT 0,
    shares          integer   NOT NULL DEFAULT 0,
    total_calls     integer   NOT NULL DEFAULT 0,
    completed_calls integer   NOT NULL DEFAULT 0,
    PRIMARY KEY (event_no, channel_no, minute)
);
CREATE TABLE hannun.corrections (
    correction_no bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_no      integer     NOT NULL,
    channel_no    integer     NOT NULL,
    corrected_at  timestamp   NOT NULL,
    metric        varchar(20) NOT NULL,
    amount        integer     NOT NULL
);
CREATE INDEX corrections_event ON hannun.corrections (event_no, channel_no);

-- How far each partition of each topic is counted. Moved in the transaction of the counts and by the owner's epoch
-- only. `topic_id` is the identity of the topic at the broker: a topic made anew has another. `leader_epoch` is that of the
-- record before `next_offset`: by it the broker tells whether its log was cut off below (KIP-320). NULL: not known.
CREATE TABLE hannun.positions (
    topic       text      NOT NULL,
    partition   integer   NOT NULL,
    topic_id    text      NOT NULL,
    next_offset bigint    NOT NULL CHECK (next_offset >= 0),
    epoch       bigint    NOT NULL DEFAULT 0,
    owner       text      NOT NULL DEFAULT '',
    updated_at  timestamp NOT NULL DEFAULT now(),
    leader_epoch integer,
    PRIMARY KEY (topic, partition)
);

-- Partitions that nobody reads until an operator decides. The process that found out writes the row; whoever reads
-- the partition again removes it.
CREATE TABLE hannun.stopped_partitions (
    topic      text      NOT NULL,
    partition  integer   NOT NULL,
    why        text      NOT NULL,
    hint       text      NOT NULL,
    found_by   text      NOT NULL,
    stopped_at timestamp NOT NULL DEFAULT now(),
    until_decided boolean NOT NULL DEFAULT false,
    PRIMARY KEY (topic, partition)
);

-- What operators decided: where reading went on, and so which offsets were skipped or read again. Nowhere (NULL), where
-- they no longer wait for a partition that Kafka has no more; without a topic's identity, where it was never read.
CREATE TABLE hannun.position_decisions (
    decision_no bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decided_at  timestamp NOT NULL DEFAULT now(),
    decided_by  text      NOT NULL,
    topic       text      NOT NULL,
    partition   integer   NOT NULL,
    topic_id    text,
    was_at      bigint,
    goes_on_at  bigint,
    how         text      NOT NULL
);

-- Messages that could not be used, each once: by its position in Kafka, over HTTP by its hash.
CREATE TABLE hannun.dead_letters (
    dead_letter_no bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at     timestamp NOT NULL DEFAULT now(),
    kind           text      NOT NULL,
    reason         text      NOT NULL,
    detail         text      NOT NULL,
    event_id       text,
    topic          text,
    partition      integer,
    topic_id       text,
    record_offset  bigint,
    received_at    timestamp NOT NULL,
    size_bytes     integer   NOT NULL,
    hash           bytea     NOT NULL,
    fields         jsonb,
    resolved_at    timestamp,
    resolution     text CHECK (resolution IN ('retried', 'dropped')),
    resolved_by    text,
    published_at   timestamp,
    CHECK ((topic IS NULL) = (record_offset IS NULL))
);
CREATE UNIQUE INDEX dead_letters_position ON hannun.dead_letters (topic, partition, topic_id, record_offset)
    WHERE topic IS NOT NULL;
CREATE UNIQUE INDEX dead_letters_hash ON hannun.dead_letters (hash) WHERE topic IS NULL;
CREATE INDEX dead_letters_created ON hannun.dead_letters (created_at DESC);
CREATE INDEX dead_letters_open ON hannun.dead_letters (dead_letter_no DESC) WHERE resolved_at IS NULL;
CREATE INDEX dead_letters_unpublished ON hannun.dead_letters (dead_letter_no) WHERE published_at IS NULL;

-- Cached answers that a committed batch made false and that nobody has removed yet: one row for each batch.
-- `events` is {eventId: {"userId": ... or null, "version": ..., "channels": [names]}}.
CREATE TABLE hannun.owed_invalidations (
    owed_no bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owed_at timestamp NOT NULL DEFAULT now(),
    events  jsonb     NOT NULL
);

-- Links that open one event to whoever has them, read-only, until a date. No log tells of them, so a replay's swap carries
-- them over. The secret is kept as its hash alone. `user_id` is whose event it was then: a link ends with the ownership.
-- The newest that were revoked or ran out stay: they say who had opened what to others.
CREATE TABLE hannun.shares (
    share_id    text      NOT NULL PRIMARY KEY,
    event_id    text      NOT NULL,
    user_id     text      NOT NULL,
    secret_hash bytea     NOT NULL UNIQUE,
    label       text      NOT NULL,
    created_at  timestamp NOT NULL,
    created_by  text      NOT NULL,
    expires_at  timestamp NOT NULL,
    revoked_at  timestamp
);
CREATE INDEX shares_of_event ON hannun.shares (event_id, created_at DESC);

-- Which migration made this schema; kept by alembic, read before anything is served.
CREATE TABLE hannun.schema_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO hannun.schema_version VALUES ('0010');

-- -- what other teams and the operator look at -------------------------------------------------------------------

-- Who came when and through what: the ledger of participants in one form. `minute` is minutes since 1970 (UTC),
-- channel_no 0 is none.
CREATE VIEW hannun.arrivals AS
SELECT event_no, participant, coalesce(minute, 23667840 + (came >> 6)) AS minute, coalesce(channel_no, came & 63) AS channel_no
  FROM hannun.participants;

CREATE VIEW hannun.dead_letter_reasons AS
SELECT kind, reason, count(*) AS messages, max(created_at) AS newest_at,
       count(*) FILTER (WHERE resolved_at IS NULL) AS open
  FROM hannun.dead_letters GROUP BY kind, reason;

CREATE VIEW hannun.event_totals AS
SELECT event_id, participants, unattributed, sales, recorded_revenue, status, user_id IS NOT NULL AS created,
       first_seen_at, to_timestamp(version / 1000000.0) AT TIME ZONE 'UTC' AS changed_at
  FROM hannun.events;

-- -- functions -----------------------------------------------------------------------------------------------------

-- A share in percent, two places, rounded half even, exact; NULL where there is nothing to divide by.
CREATE FUNCTION hannun.percent(part numeric, whole numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sign(part) * (quotient + CASE WHEN twice_rest > whole THEN 1
                                         WHEN twice_rest = whole THEN mod(quotient, 2)
                                         ELSE 0 END) / 100.0
      -- nullif and not WHERE: the planner computes constants before it filters
      FROM (SELECT div(abs(part) * 10000, nullif(greatest(whole, 0), 0)) AS quotient,
                   2 * mod(abs(part) * 10000, nullif(greatest(whole, 0), 0)) AS twice_rest) AS scaled
$$;

-- What a column of percent can hold of a figure; the answer shows it whole.
CREATE FUNCTION hannun.fitted(figure numeric, lowest numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(lowest, least(coalesce(figure, 0), 99999999.99))
$$;

-- The parts of [since, until) that are in the timeline: months that follow one another are one part. Of one moment with the
-- rows that the same statement reads, so that nobody sees a quarter whose minutes were let go.
CREATE FUNCTION hannun.timeline_spans(since timestamp, until timestamp) RETURNS TABLE (begins timestamp, ends timestamp)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT greatest(min(month), since), least(max(month) + interval '1 month', until)
      FROM (SELECT month, extract(year FROM month) * 12 + extract(month FROM month) - row_number() OVER (ORDER BY month)
              FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
             -- Looked at before it is known to be a month: PostgreSQL may ask this of every table that there is.
             CROSS JOIN LATERAL (SELECT CASE WHEN c.relname ~ '^timeline_data_[0-9]{4}_[0-9]{2}$'
                                             THEN to_date(right(c.relname, 7), 'YYYY_MM')::timestamp END) AS of (month)
             WHERE i.inhparent = 'public.timeline_data'::regclass AND NOT i.inhdetachpending
               AND month < until AND month + interval '1 month' > since) AS months (month, run)
     GROUP BY run
$$;

-- Makes the partition of a month where it is missing, and says whether it did. Attached and not created in place:
-- that locks only against other partition work, and readers and writers go on.
CREATE FUNCTION hannun.make_timeline_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts date := date_trunc('month', month)::date;
    name   text := 'timeline_data_' || to_char(starts, 'YYYY_MM');
    again  boolean;
BEGIN
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || name) AND NOT inhdetachpending) THEN
        RETURN false;
    END IF;
    -- One at a time over all processes; whoever waited finds it made. Asked of the table and not of to_regclass, which
    -- remembers that it was not there.
    PERFORM pg_advisory_xact_lock(hashtext('hannun.make_timeline_month'));
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name AND NOT i.inhdetachpending) THEN
        RETURN false;
    END IF;
    -- Letting it go was broken off: it takes no rows, and is not out. First out, then in again.
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name) THEN
        EXECUTE format('ALTER TABLE public.timeline_data DETACH PARTITION public.%I FINALIZE', name);
    END IF;
    -- A month that was let go is taken in again: a message needs it.
    again := EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = name);
    IF NOT again THEN
        EXECUTE format('CREATE TABLE public.%I (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    END IF;
    EXECUTE format('ALTER TABLE public.timeline_data ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, starts, (starts + interval '1 month')::date);
    IF again THEN
        -- What is made of the timeline was made without its minutes. Events are held in the order of every writer.
        EXECUTE format('UPDATE hannun.events e SET cumulative_owed_from = least(e.cumulative_owed_from, %L)'
                       ' WHERE e.event_no IN (SELECT h.event_no FROM hannun.events h'
                       ' WHERE h.event_id IN (SELECT event_id FROM public.%I) ORDER BY h.event_no FOR UPDATE)', starts, name);
    END IF;
    RETURN true;
END $$;

-- -- who may do what -----------------------------------------------------------------------------------------------

-- Roles belong to the whole server, so another database of it may have made them. They get their passwords from
-- `hannun migrate` (settings), never from a file.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analytics_readonly') THEN
        CREATE ROLE analytics_readonly LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analytics_readwrite') THEN
        CREATE ROLE analytics_readwrite LOGIN;
    END IF;
    -- DEFAULT now() would write local time elsewhere.
    EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'UTC');
END $$;

REVOKE ALL ON FUNCTION hannun.make_timeline_month(date) FROM PUBLIC;

GRANT USAGE ON SCHEMA public, hannun TO analytics_readonly, analytics_readwrite;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO analytics_readonly;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO analytics_readonly;
GRANT SELECT ON hannun.dead_letter_reasons, hannun.event_totals TO analytics_readonly;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, hannun TO analytics_readwrite;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public, hannun TO analytics_readwrite;
GRANT EXECUTE ON FUNCTION hannun.make_timeline_month(date) TO analytics_readwrite;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO analytics_readwrite;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO analytics_readwrite;
ALTER DEFAULT PRIVILEGES IN SCHEMA hannun GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO analytics_readwrite;
ALTER DEFAULT PRIVILEGES IN SCHEMA hannun GRANT USAGE, SELECT ON SEQUENCES TO analytics_readwrite;
REVOKE INSERT, UPDATE, DELETE ON hannun.identity FROM analytics_readwrite;
