-- The complete schema of a new database: what all migrations together create, in one file for reading.
--
--     the contract (schema public) · internal tables (schema hannun) · views · functions · privileges
--
-- `hannun migrate` runs the migrations, not this file. A test compares what both create, down to each grant. A change of
-- the schema is a new migration and the same change here. Times are UTC in `timestamp` columns; money is in won.

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
) WITH (fillfactor = 60);
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
) WITH (fillfactor = 60);
CREATE INDEX idx_channel_stats_event_id ON public.channel_stats (event_id);
CREATE INDEX idx_channel_stats_channel_type ON public.channel_stats (channel_type);
-- BRIN, not B-tree: it does not prevent heap-only updates of a figure that nearly every batch changes.
CREATE INDEX idx_channel_stats_participants ON public.channel_stats USING brin (participants);

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
-- `cumulative_owed_from` is the roll-up watermark: from this minute on, the timeline's cumulative column and its 15-minute
-- roll-up are pending. A writer of a minute of the timeline lowers it to that minute in the same transaction. The year 9999
-- means that nothing is pending. `forgotten` is how often ids of the event were forgotten; a batch that was prepared with another
-- number is prepared again.
-- `packed` is how many of its participants are in hannun.packed_participants; `participants_at` is when one was added last, NULL where
-- that was before schema version 0025.
-- Where `amounts_sealed`, its amounts are encrypted (store/amounts.py): the plan's three in sealed_plan, recorded_revenue in
-- sealed_revenue. All costs of its distributions and its new sales are then sealed as well.
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
    total_investment      decimal(15, 2),
    expected_revenue      decimal(15, 2),
    target_roi            decimal(10, 2),
    baseline_revenue      decimal(15, 2),
    starts_at             timestamp,
    ends_at               timestamp,
    forgotten             integer        NOT NULL DEFAULT 0,
    amounts_sealed        boolean        NOT NULL DEFAULT false,
    sealed_plan           bytea,
    sealed_revenue        bytea,
    packed                integer        NOT NULL DEFAULT 0,
    participants_at       timestamp,
    CONSTRAINT events_packed_check CHECK (packed BETWEEN 0 AND participants),
    CONSTRAINT events_sealed_check CHECK (
        CASE WHEN amounts_sealed
             THEN total_investment IS NULL AND expected_revenue IS NULL AND baseline_revenue IS NULL AND recorded_revenue = 0
             ELSE sealed_plan IS NULL AND sealed_revenue IS NULL END)
    -- Free space for the next version of a row on the same page (HOT updates): these rows change with every batch.
) WITH (fillfactor = 60);
CREATE INDEX events_user_id ON hannun.events (user_id, event_no) WHERE user_id IS NOT NULL;
CREATE INDEX events_forgotten ON hannun.events (event_no) WHERE forgotten > 0;
CREATE INDEX events_cumulative_owed ON hannun.events (event_no) WHERE cumulative_owed_from < '9999-01-01';

-- The 15-minute roll-up of the timeline (UTC). Hours, days, weeks and months of every time zone are sums of its rows: a year is
-- 35,040 rows instead of 525,600. Rows are valid below the quarter of `cumulative_owed_from`, and in attached months; no
-- query reads the others. The index includes the figures, because it holds the rows of an event side by side; the table holds
-- them among the rows of all events.
CREATE TABLE hannun.timeline_quarters (
    event_no     integer   NOT NULL,
    quarter      timestamp NOT NULL,
    participants bigint    NOT NULL,
    views        bigint    NOT NULL,
    engagement   bigint    NOT NULL,
    conversions  bigint    NOT NULL,
    PRIMARY KEY (event_no, quarter) INCLUDE (participants, views, engagement, conversions)
    -- An index-only scan needs pages that were vacuumed since they were written.
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);

-- Participants of each event by month (UTC), whatever months of the timeline are attached: one row for each month in which
-- anything happened. A writer of a minute of the timeline adds to its month in the same transaction. So the participants before
-- a minute are those of earlier months, and those of its own month before it.
CREATE TABLE hannun.timeline_months (
    event_no     integer NOT NULL,
    month        date    NOT NULL,
    participants integer NOT NULL DEFAULT 0 CHECK (participants >= 0),
    PRIMARY KEY (event_no, month)
    -- Free space for the next version of a row on the same page (HOT updates): rows of this month change with every batch.
) WITH (fillfactor = 60);

-- The months that were attached when the answers over them were last invalidated. A difference from the catalog means that
-- answers of the events with something in that month are outdated.
CREATE TABLE hannun.attached_months (
    month date NOT NULL PRIMARY KEY
);

-- The ledger of participants: each once, here or in hannun.packed_participants. Rows are small on purpose, 24 bytes of data: `came` is minute and channel number in
-- one integer (store/packed_arrivals.py). A row that does not fit has NULL there, and uses `minute` and `channel_no`, which are
-- NULL in all other rows and then take no space. Read it through the view hannun.arrivals.
CREATE TABLE hannun.participants (
    participant uuid    NOT NULL,
    event_no    integer NOT NULL,
    minute      integer,
    channel_no  integer,
    came        integer,
    PRIMARY KEY (event_no, participant),
    CONSTRAINT participants_came_check CHECK ((came IS NULL) = (minute IS NOT NULL) AND (came IS NULL) = (channel_no IS NOT NULL))
);

-- The part of the ledger of participants that is packed: segments, each up to 97 participants of an event in their order, and the `came`
-- of each. So a segment takes a quarter of a page. The segments of an event do not overlap: whoever is packed is in the last segment
-- whose first participant is not greater. A writer has locked the event. `store/packing.py` writes them.
CREATE TABLE hannun.packed_participants (
    event_no          integer                   NOT NULL,
    first_participant uuid                      NOT NULL,
    participants      uuid[]    STORAGE PLAIN   NOT NULL,
    cames             integer[] STORAGE PLAIN   NOT NULL,
    PRIMARY KEY (event_no, first_participant),
    CONSTRAINT packed_participants_check CHECK (
        cardinality(participants) > 0 AND cardinality(participants) = cardinality(cames) AND first_participant = participants[1]
        AND array_position(participants, NULL) IS NULL AND array_position(cames, NULL) IS NULL)
);

-- One row: whether participants of quiet events are packed. `hannun migrate` changes it, since processes that do not know segments would
-- count a packed participant again.
CREATE TABLE hannun.participant_packing (
    is_the_only_row boolean   PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    packs           boolean   NOT NULL DEFAULT false,
    changed_at      timestamp NOT NULL DEFAULT now()
);
INSERT INTO hannun.participant_packing (packs) VALUES (true);

-- Participants who came through a channel whose type is not known yet for their event: part of events.unattributed.
CREATE TABLE hannun.untyped_participants (
    event_no     integer NOT NULL,
    channel_no   integer NOT NULL,
    participants integer NOT NULL CHECK (participants > 0),
    PRIMARY KEY (event_no, channel_no)
);

-- The distribution of each event and channel: the newest state, and the cost of the newest success. The cost is NULL where
-- that success does not say it, and 0 before the first success. An encrypted cost is in sealed_cost.
CREATE TABLE hannun.distributions (
    event_no       integer        NOT NULL,
    channel_no     integer        NOT NULL,
    channel_type   varchar(20)    NOT NULL CHECK (channel_type IN ('TV', 'SNS', 'VOICE')),
    state          varchar(20)    NOT NULL CHECK (state IN ('SUCCESS', 'FAILED')),
    completed_at   timestamp      NOT NULL,
    expected_views integer        CHECK (expected_views >= 0),
    cost           decimal(15, 2) CHECK (cost >= 0),
    succeeded_at   timestamp,
    sealed_cost    bytea,
    PRIMARY KEY (event_no, channel_no),
    CONSTRAINT distributions_sealed_check CHECK (cost IS NULL OR sealed_cost IS NULL)
);

-- The ledger of sales; a refund has a negative amount. An encrypted amount is in sealed_amount.
CREATE TABLE hannun.sales (
    event_no      integer        NOT NULL,
    sale_id       varchar(64)    NOT NULL,
    amount        decimal(15, 2),
    sold_at       timestamp      NOT NULL,
    channel_no    integer        NOT NULL,
    sealed_amount bytea,
    PRIMARY KEY (event_no, sale_id),
    CONSTRAINT sales_amount_check CHECK ((amount IS NULL) = (sealed_amount IS NOT NULL))
);

-- One row: whether the amounts of new events and dead letters are encrypted. `hannun amounts` changes it. A transaction that
-- creates an event locks the row FOR SHARE, so that no event of the other form appears after a change.
CREATE TABLE hannun.amount_encryption (
    is_the_only_row boolean   PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    seals           boolean   NOT NULL DEFAULT false,
    changed_at      timestamp NOT NULL DEFAULT now()
);
INSERT INTO hannun.amount_encryption DEFAULT VALUES;

-- The keys of the operator's key ring with which amounts may be encrypted. Every process needs them.
CREATE TABLE hannun.amount_keys (
    key_id     text      NOT NULL PRIMARY KEY,
    used_since timestamp NOT NULL DEFAULT now()
);

-- The runs of `hannun amounts encrypt`, `decrypt` and `rotate`. One is open at a time; a run that was interrupted stays open, and
-- the next one goes on with it.
CREATE TABLE hannun.amount_sweeps (
    sweep_no     integer   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation    text      NOT NULL CHECK (operation IN ('encrypt', 'decrypt', 'rotate')),
    epoch        integer   NOT NULL DEFAULT 1,
    run_by       text      NOT NULL,
    started_at   timestamp NOT NULL,
    heartbeat_at timestamp NOT NULL,
    ended_at     timestamp,
    finished     boolean   NOT NULL DEFAULT false,
    rows_changed bigint    NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX amount_sweeps_open ON hannun.amount_sweeps ((true)) WHERE ended_at IS NULL;

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

-- The newest totals that each channel has measured of each event. A count is NULL where the channel has never told it; that is not 0.
-- Sum of increments + sum of corrections = total, always. `measured_at` is when the totals were true: the moment, by this server's
-- clock, at which the channel was asked; NULL before the first accepted totals. It only rises. `falls` are the counts of the newest
-- poll that are below their totals, {"likes": 12}: a second poll that confirms them corrects the total. `imported`: people gave the
-- newest totals, typed or in a file. `polled_at` is the newest attempt, `refused` why it brought nothing; NULL where it was accepted.
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

-- The circuit breaker of each channel, shared by all processes. A writer raises `version`, which it has read, by one: of two
-- that have read the same, one reads again. `details` are the sliding window and the trials of `domain.breaker`.
CREATE TABLE hannun.channel_breakers (
    channel    text      NOT NULL PRIMARY KEY,
    version    bigint    NOT NULL,
    state      text      NOT NULL CHECK (state IN ('closed', 'open', 'half-open')),
    since      timestamp NOT NULL,
    details    jsonb     NOT NULL
);

-- When the API of each channel was not called, because its breaker was not closed: from its opening to its closing. `reason` is why it
-- opened first (`domain.breaker.Reason`). Who saves a breaker writes them; the newest 1,000 of each channel are kept.
CREATE TABLE hannun.channel_outages (
    channel  text      NOT NULL,
    began_at timestamp NOT NULL,
    ended_at timestamp CHECK (ended_at >= began_at),
    reason   text      NOT NULL,
    PRIMARY KEY (channel, began_at)
);
CREATE UNIQUE INDEX channel_outages_open ON hannun.channel_outages (channel) WHERE ended_at IS NULL;

-- What is taken of each budget of a channel's API, by all processes together. `scope` is the application or account that the
-- API counts. `units` are taken in the window that starts at `window_starts_at`. `free_at` is when the next call of a budget with a
-- short window may begin. Nothing is taken before `blocked_until`: the API has said that the budget is used up.
CREATE TABLE hannun.channel_budgets (
    scope            text      NOT NULL,
    budget           text      NOT NULL,
    window_starts_at timestamp NOT NULL,
    units            integer   NOT NULL CHECK (units >= 0),
    free_at          timestamp,
    blocked_until    timestamp,
    PRIMARY KEY (scope, budget)
);

-- Rounds of periodic work: each (job, due time) once, whoever begins it. The owner writes `heartbeat_at`; where that is old,
-- another process takes the round over and raises `epoch`, and what the old owner still writes changes nothing. All times are
-- this server's. A round that is not ended at `deadline_at` is ended as it is. One
-- round of a job is open at a time.
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

-- The pieces of a round's work. A process takes a piece as a round is taken over: its owner, epoch and heartbeat.
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

-- The position up to which each partition of each topic is counted. It moves in the transaction of the counts, and only under
-- the owner's epoch. `topic_id` is the topic's id at the broker: a recreated topic has another. `leader_epoch` is the leader
-- epoch of the record before `next_offset`: with it the broker tells whether the log was truncated below that record
-- (KIP-320). NULL means that it is not known.
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

-- Stopped partitions: no consumer reads them until an operator decides. The process that found the reason writes the row; the
-- consumer that reads the partition again deletes it.
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

-- Topics that no consumer reads as a whole: Kafka does not have them, or refuses them, or has fewer partitions than were
-- counted. The process that finds the reason writes the row, and deletes it when the topic is back. An operator may forget the
-- topic: then nobody waits for it while this is the reason.
CREATE TABLE hannun.stopped_topics (
    topic        text      PRIMARY KEY,
    why          text      NOT NULL,
    hint         text      NOT NULL,
    found_by     text      NOT NULL,
    stopped_at   timestamp NOT NULL DEFAULT now(),
    forgotten_by text,
    forgotten_at timestamp
);

-- The decisions of operators: at which offset reading resumed, and so which offsets were skipped or read again. `goes_on_at` is
-- NULL where the operator gave up a partition that Kafka no longer has; `topic_id` is NULL where it was never read. Offsets from
-- `skipped_from` up to `goes_on_at` are skipped, and a replay passes over them; NULL where none is.
CREATE TABLE hannun.position_decisions (
    decision_no bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decided_at  timestamp NOT NULL DEFAULT now(),
    decided_by  text      NOT NULL,
    topic       text      NOT NULL,
    partition   integer   NOT NULL,
    topic_id    text,
    was_at      bigint,
    goes_on_at  bigint,
    how         text      NOT NULL,
    skipped_from bigint
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
    resolved_at    timestamp,
    resolution     text CHECK (resolution IN ('retried', 'dropped')),
    resolved_by    text,
    published_at   timestamp,
    sealed_amounts bytea,
    CHECK ((topic IS NULL) = (record_offset IS NULL))
);
CREATE UNIQUE INDEX dead_letters_position ON hannun.dead_letters (topic, partition, topic_id, record_offset)
    WHERE topic IS NOT NULL;
CREATE UNIQUE INDEX dead_letters_hash ON hannun.dead_letters (hash) WHERE topic IS NULL;
CREATE INDEX dead_letters_created ON hannun.dead_letters (created_at DESC);
CREATE INDEX dead_letters_open ON hannun.dead_letters (dead_letter_no DESC) WHERE resolved_at IS NULL;
CREATE INDEX dead_letters_unpublished ON hannun.dead_letters (dead_letter_no) WHERE published_at IS NULL;

-- The outbox of pending invalidations: one row for each committed batch whose cached answers were not removed yet.
-- `events` is {eventId: {"userId": ... or null, "version": ..., "channels": [names]}}.
CREATE TABLE hannun.owed_invalidations (
    owed_no bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owed_at timestamp NOT NULL DEFAULT now(),
    events  jsonb     NOT NULL
);

-- Share links: each gives its holders read access to one event until a date. No log holds them, so the swap of a replay copies
-- them. Only the hash of the secret is stored. `user_id` is the owner of the event when the link was made: the link ends when
-- the owner changes. The newest revoked and expired links stay, as a record of who shared what.
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

-- One-time codes that sign a browser in. Only the hash of a code is stored. Its row is deleted when it is used, so each works
-- once, whichever process is asked.
CREATE TABLE hannun.sign_in_codes (
    code_hash  bytea     NOT NULL PRIMARY KEY,
    user_id    text      NOT NULL,
    roles      text[]    NOT NULL,
    expires_at timestamp NOT NULL
);

-- Sessions that their user has ended before their token expires. All processes read this table. A row is deleted when the token
-- has expired.
CREATE TABLE hannun.ended_sessions (
    token_hash bytea     NOT NULL PRIMARY KEY,
    ended_at   timestamp NOT NULL,
    expires_at timestamp NOT NULL
);
CREATE INDEX ended_sessions_by_time ON hannun.ended_sessions (ended_at);

-- Runs of backups, restores and other operations, by commands and timed jobs: when each began and ended, what it made, and how it
-- ended. A run that was killed has no end. No log holds them, so the swap of a replay copies them. The newest 1,000 stay, and the
-- newest success of each kind.
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

-- Ids that were forgotten, by keyed digests: a participant of an event, or a merchant (event_id is then empty). The key is in the
-- operator's key ring. What stands in the place of an id is made of the first 16 bytes of its digest.
CREATE TABLE hannun.forgotten (
    kind         text        NOT NULL CHECK (kind IN ('participant', 'merchant')),
    event_id     varchar(36) NOT NULL DEFAULT '',
    digest       bytea       NOT NULL CHECK (octet_length(digest) = 32),
    key_id       text        NOT NULL,
    forgotten_at timestamp   NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, event_id, digest)
);

-- Whom the audit log names: operators, users, share links. `subject_ref` is sha256(salt || kind || ' ' || subject_id). Where a
-- person is forgotten, salt and id become NULL: the reference stays, and nobody can find the id from it.
CREATE TABLE hannun.audit_subjects (
    subject_ref bytea     NOT NULL PRIMARY KEY CHECK (octet_length(subject_ref) = 32),
    kind        text      NOT NULL CHECK (char_length(kind) <= 20),
    salt        bytea,
    subject_id  text      CHECK (char_length(subject_id) <= 200),
    CHECK ((salt IS NULL) = (subject_id IS NULL))
);
CREATE UNIQUE INDEX audit_subjects_id ON hannun.audit_subjects (kind, subject_id) WHERE subject_id IS NOT NULL;

-- The audit log: who saw or changed what, when and why. Append-only, and a hash chain: `hash` covers all other columns, with
-- the hash of the entry before. `hannun audit verify` proves it. `subject` is whose data it was.
CREATE TABLE hannun.audit_log (
    entry_no      bigint    NOT NULL PRIMARY KEY,
    at            timestamp NOT NULL,
    actor         bytea     NOT NULL,
    action        text      NOT NULL CHECK (char_length(action) <= 40),
    object        text      NOT NULL CHECK (char_length(object) <= 500),
    subject       bytea,
    reason        text      NOT NULL DEFAULT '' CHECK (char_length(reason) <= 500),
    previous_hash bytea     NOT NULL,
    hash          bytea     NOT NULL
);
CREATE INDEX audit_log_at ON hannun.audit_log (at);
CREATE INDEX audit_log_object ON hannun.audit_log (object, at);

-- The version of this schema: the number of its newest migration. Alembic writes it; every process checks it at its start.
CREATE TABLE hannun.schema_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO hannun.schema_version VALUES ('0025');

-- Which processes may use this schema: those whose own newest version is at least `oldest_version`. So a process of the
-- version before can start while the new one is deployed. A migration that such a process would not survive raises it.
CREATE TABLE hannun.schema_compatibility (
    is_the_only_row boolean     PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    oldest_version  varchar(32) NOT NULL
);
INSERT INTO hannun.schema_compatibility (oldest_version) VALUES ('0025');

-- -- views for other teams and for the operator ------------------------------------------------------------------

-- The ledger of participants in both its tables, with minute and channel unpacked. `minute` is minutes since 1970 (UTC); channel_no 0
-- is none. Conditions on event_no reach the indexes where they are constants, parameters or of an outer query: a join does not.
CREATE VIEW hannun.arrivals AS
SELECT event_no, participant, coalesce(minute, 23667840 + (came >> 6)) AS minute, coalesce(channel_no, came & 63) AS channel_no
  FROM hannun.participants
 UNION ALL
SELECT event_no, participant, 23667840 + (came >> 6), came & 63
  FROM (SELECT event_no, unnest(participants) AS participant, unnest(cames) AS came FROM hannun.packed_participants) AS packed;

CREATE VIEW hannun.dead_letter_reasons AS
SELECT kind, reason, count(*) AS messages, max(created_at) AS newest_at,
       count(*) FILTER (WHERE resolved_at IS NULL) AS open
  FROM hannun.dead_letters GROUP BY kind, reason;

CREATE VIEW hannun.event_totals AS
SELECT event_id, participants, unattributed, sales, recorded_revenue, status, user_id IS NOT NULL AS created,
       first_seen_at, to_timestamp(version / 1000000.0) AT TIME ZONE 'UTC' AS changed_at
  FROM hannun.events;

-- Figures without any id, for a monitoring system that reads SQL. A view reads with the rights of its owner.
CREATE VIEW hannun.monitored_figures AS
SELECT 'pending_invalidations' AS figure, count(*)::double precision AS value FROM hannun.owed_invalidations
 UNION ALL
SELECT 'stopped_partitions', count(*) FROM hannun.stopped_partitions
 UNION ALL
SELECT 'stopped_topics', count(*) FROM hannun.stopped_topics WHERE forgotten_at IS NULL
 UNION ALL
SELECT 'open_dead_letters', count(*) FROM hannun.dead_letters WHERE resolved_at IS NULL
 UNION ALL
SELECT 'partitions_of_the_timeline', count(*) FROM pg_catalog.pg_inherits
 WHERE inhparent = 'public.timeline_data'::regclass AND NOT inhdetachpending;

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

-- From when on totals that a channel has measured are stale: some time after they were true, or a day where people gave them.
-- NULL where they are final: they were still good when their event ended. An archived event has ended with its plan, at the latest
-- when it was archived. One expression without FROM, which PostgreSQL puts into the statement: a call costs 8 us a row.
CREATE FUNCTION hannun.stale_at(measured_at timestamp, imported boolean, stale_after interval, status text, status_at timestamp,
                                ends_at timestamp)
RETURNS timestamp LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN status = 'ACTIVE'
                  OR measured_at + CASE WHEN imported THEN interval '1 day' ELSE stale_after END
                     < CASE status WHEN 'ENDED' THEN status_at ELSE least(status_at, ends_at) END
                THEN measured_at + CASE WHEN imported THEN interval '1 day' ELSE stale_after END END
$$;

-- The parts of [since, until) that attached months cover; consecutive months are one part. A statement that calls it sees the
-- same snapshot as in its other tables, so it never reads the roll-up of a month whose minutes are detached.
CREATE FUNCTION hannun.timeline_spans(since timestamp, until timestamp) RETURNS TABLE (begins timestamp, ends timestamp)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT greatest(min(month), since), least(max(month) + interval '1 month', until)
      FROM (SELECT month, extract(year FROM month) * 12 + extract(month FROM month) - row_number() OVER (ORDER BY month)
              FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
             -- CASE, because PostgreSQL may evaluate this for every table before it joins with pg_inherits.
             CROSS JOIN LATERAL (SELECT CASE WHEN c.relname ~ '^timeline_data_[0-9]{4}_[0-9]{2}$'
                                             THEN to_date(right(c.relname, 7), 'YYYY_MM')::timestamp END) AS of (month)
             WHERE i.inhparent = 'public.timeline_data'::regclass AND NOT i.inhdetachpending
               AND month < until AND month + interval '1 month' > since) AS months (month, run)
     GROUP BY run
$$;

-- Create the partition of a month where it is missing; returns whether it did. The table is created and then attached, which
-- locks only against other changes of partitions: readers and writers go on. The table of a detached month is attached again;
-- where it was dropped, it is made from the ledgers.
CREATE FUNCTION hannun.make_timeline_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts  timestamp := date_trunc('month', month::timestamp);
    ends    timestamp := starts + interval '1 month';
    name    text      := 'timeline_data_' || to_char(starts, 'YYYY_MM');
    dropped boolean   := false;
    again   boolean;
BEGIN
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || name) AND NOT inhdetachpending) THEN
        RETURN false;
    END IF;
    -- One process at a time; a process that waited finds the partition. This reads pg_class, because to_regclass caches that
    -- the table was missing.
    PERFORM pg_advisory_xact_lock(hashtext('hannun.make_timeline_month'));
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name AND NOT i.inhdetachpending) THEN
        RETURN false;
    END IF;
    -- Its detachment was interrupted: it accepts no rows, and is still a partition. Finish the detachment, then re-attach it.
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name) THEN
        EXECUTE format('ALTER TABLE public.timeline_data DETACH PARTITION public.%I FINALIZE', name);
    END IF;
    -- The table of a detached month still exists, and is re-attached: a message needs it.
    again := EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = name);
    IF NOT again THEN
        dropped := EXISTS (SELECT FROM hannun.timeline_months m WHERE m.month = starts);
        EXECUTE format('CREATE TABLE public.%I (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    END IF;
    IF dropped THEN
        -- Nobody counts for this month meanwhile: its minutes cannot be written before it is attached.
        EXECUTE format(
            'INSERT INTO public.%I (event_id, timestamp, participants, views, engagement, conversions)'
            ' SELECT e.event_id, h.at, sum(h.participants), sum(h.views), sum(h.engagement), sum(h.conversions)'
            '   FROM (SELECT m.event_no, to_timestamp(a.minute * 60.0) AT TIME ZONE ''UTC'' AS at, a.participants,'
            '                0::bigint AS views, 0::bigint AS engagement, 0::bigint AS conversions'
            '           FROM hannun.timeline_months m CROSS JOIN LATERAL ('
            '                SELECT minute, count(*) AS participants FROM hannun.arrivals'
            '                 WHERE event_no = m.event_no AND minute >= extract(epoch FROM $1) / 60'
            '                   AND minute < extract(epoch FROM $2) / 60 GROUP BY minute) a'
            '          WHERE m.month = $1'
            '          UNION ALL'
            '         SELECT i.event_no, i.minute, 0, sum(i.views), sum(i.likes + i.comments + i.shares + i.clicks),'
            '                sum(i.conversions) FROM hannun.increments i WHERE i.minute >= $1 AND i.minute < $2 GROUP BY 1, 2) h'
            '   JOIN hannun.events e USING (event_no) GROUP BY 1, 2', name) USING starts, ends;
    END IF;
    EXECUTE format('ALTER TABLE public.timeline_data ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, starts, ends);
    IF again OR dropped THEN
        -- The roll-up was written without this month's minutes. Events are locked in the order in which every writer locks.
        EXECUTE format('UPDATE hannun.events e SET cumulative_owed_from = least(e.cumulative_owed_from, %L)'
                       ' WHERE e.event_no IN (SELECT h.event_no FROM hannun.events h'
                       ' WHERE h.event_id IN (SELECT event_id FROM public.%I) ORDER BY h.event_no FOR UPDATE)', starts, name);
        -- So answers that say that the month is not kept are invalidated.
        DELETE FROM hannun.attached_months a WHERE a.month = starts;
    ELSE
        INSERT INTO hannun.attached_months VALUES (starts) ON CONFLICT DO NOTHING;
    END IF;
    RETURN true;
END $$;

-- The reference of a person in the audit log, made where there is none.
CREATE FUNCTION hannun.audit_subject(wanted_kind text, wanted_id text) RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bytea;
    salt  bytea := sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'));
BEGIN
    LOOP
        SELECT subject_ref INTO found FROM hannun.audit_subjects
         WHERE kind = wanted_kind AND subject_id = wanted_id;
        IF found IS NOT NULL THEN
            RETURN found;
        END IF;
        INSERT INTO hannun.audit_subjects (subject_ref, kind, salt, subject_id)
        VALUES (sha256(salt || convert_to(wanted_kind || ' ' || wanted_id, 'UTF8')), wanted_kind, salt, wanted_id)
            ON CONFLICT (kind, subject_id) WHERE subject_id IS NOT NULL DO NOTHING;
    END LOOP;
END $$;

-- How many merchants are forgotten. None is forgotten before the caller's transaction ends.
CREATE FUNCTION hannun.forgotten_merchants() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('hannun.forgotten_merchants'));
    RETURN (SELECT count(*) FROM hannun.forgotten WHERE kind = 'merchant');
END $$;

-- A field of an entry as its hash covers it: behind its length, so that no two lists of fields have the same bytes.
CREATE FUNCTION hannun.audit_field(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT int4send(coalesce(octet_length(value), -1)) || coalesce(value, '')
$$;

-- Give a new entry of the audit log its number, time and hashes. One transaction at a time appends. The owner may copy entries
-- of another database as they are (the swap of a replay).
CREATE FUNCTION hannun.chain_audit_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest  hannun.audit_log;
    is_copy boolean := NEW.hash IS NOT NULL;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('hannun.audit_log'));
    SELECT * INTO newest FROM hannun.audit_log ORDER BY entry_no DESC LIMIT 1;
    IF is_copy AND NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only the owner copies entries of the audit log';
    END IF;
    IF NOT is_copy THEN
        NEW.entry_no := coalesce(newest.entry_no, 0) + 1;
        NEW.at := greatest(clock_timestamp() AT TIME ZONE 'UTC', newest.at);
        NEW.previous_hash := coalesce(newest.hash, decode(repeat('00', 32), 'hex'));
        NEW.hash := sha256(
            NEW.previous_hash || int8send(NEW.entry_no)
            || int8send((extract(epoch FROM NEW.at) * 1000000)::bigint)
            || hannun.audit_field(NEW.actor) || hannun.audit_field(convert_to(NEW.action, 'UTF8'))
            || hannun.audit_field(convert_to(NEW.object, 'UTF8')) || hannun.audit_field(NEW.subject)
            || hannun.audit_field(convert_to(NEW.reason, 'UTF8')));
    ELSIF NEW.entry_no <= newest.entry_no THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entries of the audit log are copied in their order';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chain_audit_entry BEFORE INSERT ON hannun.audit_log
    FOR EACH ROW EXECUTE FUNCTION hannun.chain_audit_entry();

-- The audit log is append-only, also for the owner; and whom it names may only be forgotten.
CREATE FUNCTION hannun.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format('%s of %s is refused: it is append-only', TG_OP, TG_TABLE_NAME);
END $$;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hannun.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION hannun.refuse_change();
CREATE TRIGGER refuse_change BEFORE DELETE OR TRUNCATE ON hannun.audit_subjects
    FOR EACH STATEMENT EXECUTE FUNCTION hannun.refuse_change();
CREATE TRIGGER refuse_other_changes BEFORE UPDATE ON hannun.audit_subjects
    FOR EACH ROW WHEN (NEW.subject_ref <> OLD.subject_ref OR NEW.kind <> OLD.kind OR NEW.subject_id IS NOT NULL)
    EXECUTE FUNCTION hannun.refuse_change();

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
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analytics_backup') THEN
        CREATE ROLE analytics_backup LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analytics_monitor') THEN
        CREATE ROLE analytics_monitor LOGIN;
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
REVOKE INSERT, UPDATE, DELETE ON hannun.identity, hannun.participant_packing, hannun.schema_compatibility, hannun.schema_version
  FROM analytics_readwrite;

-- A dump reads every table and every sequence, also those of later migrations.
GRANT USAGE ON SCHEMA public, hannun TO analytics_backup;
GRANT SELECT ON ALL TABLES IN SCHEMA public, hannun TO analytics_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, hannun TO analytics_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO analytics_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO analytics_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA hannun GRANT SELECT ON TABLES TO analytics_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA hannun GRANT SELECT ON SEQUENCES TO analytics_backup;

GRANT USAGE ON SCHEMA hannun TO analytics_monitor;
GRANT SELECT ON hannun.monitored_figures, hannun.schema_version TO analytics_monitor;
REVOKE UPDATE, DELETE ON hannun.audit_log FROM analytics_readwrite;
REVOKE DELETE ON hannun.audit_subjects FROM analytics_readwrite;
