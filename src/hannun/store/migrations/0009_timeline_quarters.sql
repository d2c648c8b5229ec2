-- squawk-ignore-file adding-not-nullable-field, require-concurrent-index-deletion
-- A roll-up of the timeline by quarters of an hour, kept by the job that settles the cumulative column: one debt for both.
-- From here on every event owes both from its beginning, and answers are made of minutes until it has paid. Nothing is owed in
-- the year 9999 and no longer at NULL: a job of the version before, which knows nothing of quarters, fails instead of
-- forgetting a debt that it has paid by half; one that counts goes on rightly.
-- Whoever counts waits while hannun.events is written once: a second for each hundred thousand events.
ALTER TABLE hannun.events ALTER COLUMN cumulative_owed_from SET DEFAULT '9999-01-01';
UPDATE hannun.events SET cumulative_owed_from = '1970-01-01';
ALTER TABLE hannun.events ALTER COLUMN cumulative_owed_from SET NOT NULL;
DROP INDEX hannun.events_cumulative_owed;
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

-- As before, and now a month that is taken in again leaves its events owing.
CREATE OR REPLACE FUNCTION hannun.make_timeline_month(month date) RETURNS boolean
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
