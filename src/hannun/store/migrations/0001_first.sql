-- The first schema: the contract with other teams in `public`, internal tables in `hannun`.
-- Times are UTC in `timestamp` columns; money is in won.

CREATE SCHEMA IF NOT EXISTS hannun;

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
    -- The primary key of a partitioned table must contain its partition key. The pair is unique anyway.
    CONSTRAINT idx_timeline_event_timestamp PRIMARY KEY (event_id, timestamp),
    CONSTRAINT ck_timeline_participants CHECK (participants >= 0),
    CONSTRAINT ck_timeline_views CHECK (views >= 0),
    CONSTRAINT ck_timeline_engagement CHECK (engagement >= 0),
    CONSTRAINT ck_timeline_conversions CHECK (conversions >= 0),
    CONSTRAINT ck_timeline_cumulative_participants CHECK (cumulative_participants >= 0)
) PARTITION BY RANGE (timestamp);
CREATE INDEX idx_timeline_timestamp ON public.timeline_data (timestamp ASC);
CREATE INDEX idx_timeline_brin_timestamp ON public.timeline_data USING brin (timestamp);

-- Every write changes updated_at. Hannun's own statements set it, so the trigger fires only for other writers.
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

-- -- internal tables -------------------------------------------------------------------------------------------

-- One row: the identity of this database's data. The key hashes participant ids that are not UUIDs. With another key the
-- same person would count twice, so the key is stored with the counts, and backed up and restored with them.
CREATE TABLE hannun.identity (
    is_the_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    participant_key bytea   NOT NULL
);
INSERT INTO hannun.identity (participant_key)
SELECT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || clock_timestamp()::text, 'UTF8'));

-- Every channel that a message or the table of known channels has named. `key` is the form in which names are compared. The
-- type is NULL where only a distribution can tell it.
CREATE TABLE hannun.channels (
    channel_no   integer      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key          text         NOT NULL UNIQUE,
    name         varchar(50)  NOT NULL,
    channel_type varchar(20)  CHECK (channel_type IN ('TV', 'SNS', 'VOICE')),
    created_at   timestamp    NOT NULL DEFAULT now()
);

-- Every event that a message has named, also before its event-created message: until then user_id is NULL and event_stats has
-- no row. A batch locks its events here, in the order of event_no, before it changes anything else. So two batches cannot
-- deadlock, and what a batch reads of an event stays valid until it commits.
-- `version` is the microsecond (since 1970) of the newest change. It always increases, also when the clock does not.
CREATE TABLE hannun.events (
    event_no              integer        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id              varchar(36)    NOT NULL UNIQUE,
    first_seen_at         timestamp      NOT NULL DEFAULT now(),
    version               bigint         NOT NULL DEFAULT 0,
    participants          integer        NOT NULL DEFAULT 0 CHECK (participants >= 0),
    unattributed          integer        NOT NULL DEFAULT 0 CHECK (unattributed BETWEEN 0 AND participants),
    sales                 integer        NOT NULL DEFAULT 0,
    recorded_revenue      numeric(20, 2) NOT NULL DEFAULT 0,
    cumulative_owed_from  timestamp,
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
    -- Free space for the next version of a row on the same page (HOT updates): these rows change with every batch.
) WITH (fillfactor = 60);
CREATE INDEX events_user_id ON hannun.events (user_id, event_no) WHERE user_id IS NOT NULL;
CREATE INDEX events_cumulative_owed ON hannun.events (event_no) WHERE cumulative_owed_from IS NOT NULL;

-- The ledger of participants: each once. Rows are small on purpose. `minute` is minutes since 1970 (UTC); channel_no 0 is none.
CREATE TABLE hannun.participants (
    participant uuid    NOT NULL,
    event_no    integer NOT NULL,
    minute      integer NOT NULL,
    channel_no  integer NOT NULL,
    PRIMARY KEY (event_no, participant)
);

-- Participants who came through a channel whose type is not known yet for their event: part of events.unattributed.
CREATE TABLE hannun.untyped_participants (
    event_no     integer NOT NULL,
    channel_no   integer NOT NULL,
    participants integer NOT NULL CHECK (participants > 0),
    PRIMARY KEY (event_no, channel_no)
);

-- The distribution of each event and channel: the newest state, and the cost of the newest success.
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

-- Increments of what channels measured: the ledger behind channel_stats and the timeline's views, engagement and conversions.
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

-- The position up to which each partition of each topic is counted. It moves in the transaction of the counts, and only under
-- the owner's epoch. `topic_id` is the topic's id at the broker: a recreated topic has another.
CREATE TABLE hannun.positions (
    topic       text      NOT NULL,
    partition   integer   NOT NULL,
    topic_id    text      NOT NULL,
    next_offset bigint    NOT NULL CHECK (next_offset >= 0),
    epoch       bigint    NOT NULL DEFAULT 0,
    owner       text      NOT NULL DEFAULT '',
    updated_at  timestamp NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);

-- Dead letters: messages that could not be used, each once. A message from Kafka is identified by its position, a message over
-- HTTP by its hash.
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
    CHECK ((topic IS NULL) = (record_offset IS NULL))
);
CREATE UNIQUE INDEX dead_letters_position ON hannun.dead_letters (topic, partition, topic_id, record_offset)
    WHERE topic IS NOT NULL;
CREATE UNIQUE INDEX dead_letters_hash ON hannun.dead_letters (hash) WHERE topic IS NULL;
CREATE INDEX dead_letters_created ON hannun.dead_letters (created_at DESC);

-- The outbox of pending invalidations: one row for each committed batch whose cached answers were not removed yet.
-- `events` is {eventId: {"userId": ... or null, "version": ..., "channels": [names]}}.
CREATE TABLE hannun.owed_invalidations (
    owed_no bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owed_at timestamp NOT NULL DEFAULT now(),
    events  jsonb     NOT NULL
);

-- -- views for other teams and for the operator ------------------------------------------------------------------

CREATE VIEW hannun.dead_letter_reasons AS
SELECT kind, reason, count(*) AS messages, max(created_at) AS newest_at FROM hannun.dead_letters GROUP BY kind, reason;

CREATE VIEW hannun.event_totals AS
SELECT event_id, participants, unattributed, sales, recorded_revenue, status, user_id IS NOT NULL AS created,
       first_seen_at, to_timestamp(version / 1000000.0) AT TIME ZONE 'UTC' AS changed_at
  FROM hannun.events;

-- -- functions -----------------------------------------------------------------------------------------------------

-- A share in percent with two decimals, rounded half to even, exact; NULL where `whole` is not positive.
CREATE FUNCTION hannun.percent(part numeric, whole numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sign(part) * (quotient + CASE WHEN twice_rest > whole THEN 1
                                         WHEN twice_rest = whole THEN mod(quotient, 2)
                                         ELSE 0 END) / 100.0
      -- nullif instead of WHERE: the planner evaluates constants before it filters.
      FROM (SELECT div(abs(part) * 10000, nullif(greatest(whole, 0), 0)) AS quotient,
                   2 * mod(abs(part) * 10000, nullif(greatest(whole, 0), 0)) AS twice_rest) AS scaled
$$;

-- A percentage limited to what its column can hold. The answer shows the unlimited figure.
CREATE FUNCTION hannun.fitted(figure numeric, lowest numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(lowest, least(coalesce(figure, 0), 99999999.99))
$$;

-- Create the partition of a month where it is missing; returns whether it did. The table is created and then attached, which
-- locks only against other changes of partitions: readers and writers go on.
CREATE FUNCTION hannun.make_timeline_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts date := date_trunc('month', month)::date;
    name   text := 'timeline_data_' || to_char(starts, 'YYYY_MM');
BEGIN
    IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('public.' || name) AND relispartition) THEN
        RETURN false;
    END IF;
    -- One process at a time; a process that waited finds the partition. This reads pg_class, because to_regclass caches that
    -- the table was missing.
    PERFORM pg_advisory_xact_lock(hashtext('hannun.make_timeline_month'));
    IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = name AND relispartition) THEN
        RETURN false;
    END IF;
    -- The table of a detached month still exists, and is re-attached: a message needs it.
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = name) THEN
        EXECUTE format('CREATE TABLE public.%I (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    END IF;
    EXECUTE format('ALTER TABLE public.timeline_data ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, starts, (starts + interval '1 month')::date);
    RETURN true;
END $$;

-- -- privileges ----------------------------------------------------------------------------------------------------

-- Roles belong to the whole server, so they may exist for another database. `hannun migrate` sets their passwords, from
-- settings and never from a file.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analytics_readonly') THEN
        CREATE ROLE analytics_readonly LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analytics_readwrite') THEN
        CREATE ROLE analytics_readwrite LOGIN;
    END IF;
    -- In another time zone DEFAULT now() would write local time.
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

-- locks: nothing
