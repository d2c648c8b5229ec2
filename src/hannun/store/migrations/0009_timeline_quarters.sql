-- squawk-ignore-file adding-not-nullable-field, require-concurrent-index-deletion
-- A 15-minute roll-up of the timeline. The job that writes the cumulative column writes it too, below one watermark for both.
-- After this migration both are pending for every event from its beginning, and answers read minutes until the job has written
-- them. The year 9999 now means that nothing is pending, instead of NULL. So a job of the version before, which does not know
-- the roll-up, fails instead of marking as done what it has done by half. A counter of the version before goes on correctly.
-- Counting waits while hannun.events is rewritten once: a second for each hundred thousand events.
ALTER TABLE hannun.events ALTER COLUMN cumulative_owed_from SET DEFAULT '9999-01-01';
UPDATE hannun.events SET cumulative_owed_from = '1970-01-01';
ALTER TABLE hannun.events ALTER COLUMN cumulative_owed_from SET NOT NULL;
DROP INDEX hannun.events_cumulative_owed;
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

-- As before, and a month that is re-attached now makes the roll-up of its events pending.
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
        EXECUTE format('CREATE TABLE public.%I (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    END IF;
    EXECUTE format('ALTER TABLE public.timeline_data ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, starts, (starts + interval '1 month')::date);
    IF again THEN
        -- The roll-up was written without this month's minutes. Events are locked in the order in which every writer locks.
        EXECUTE format('UPDATE hannun.events e SET cumulative_owed_from = least(e.cumulative_owed_from, %L)'
                       ' WHERE e.event_no IN (SELECT h.event_no FROM hannun.events h'
                       ' WHERE h.event_id IN (SELECT event_id FROM public.%I) ORDER BY h.event_no FOR UPDATE)', starts, name);
    END IF;
    RETURN true;
END $$;

-- locks: hannun.events ACCESS EXCLUSIVE, written
