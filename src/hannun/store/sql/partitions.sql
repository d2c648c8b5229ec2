-- create_month --
-- Create the partition of a month where it is missing; returns whether it was created.
SELECT hannun.make_timeline_month(%(month)s::date);

-- cron_schema_usable --
-- Whether this role may use the functions of pg_cron; no row where this database does not have it.
SELECT has_schema_privilege(n.oid, 'USAGE') FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = 'cron' AND p.proname = 'schedule' AND p.pronargs = 3;

-- cron_command --
-- The statement that pg_cron runs: it creates the missing months up to some months ahead.
SELECT format('SELECT hannun.make_timeline_month((date_trunc(''month'', now() AT TIME ZONE ''UTC'')'
              ' + make_interval(months => n))::date) FROM generate_series(0, %%s) AS n', %(ahead)s::int);

-- cron_job --
-- The job of this database's months in pg_cron.
SELECT schedule, command FROM cron.job WHERE jobname = 'hannun-create-months-ahead' AND active;

-- schedule_cron_job --
-- Create the job in pg_cron, or change it.
SELECT cron.schedule('hannun-create-months-ahead', %(schedule)s, %(command)s);

-- months --
-- The months that have a partition.
SELECT to_date(right(c.relname, 7), 'YYYY_MM') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'public.timeline_data'::regclass ORDER BY 1;

-- detach_pending_months --
-- Months whose detachment was interrupted: queries no longer read them, and PostgreSQL detaches no other until it is
-- finished.
SELECT to_date(right(c.relname, 7), 'YYYY_MM') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'public.timeline_data'::regclass AND i.inhdetachpending ORDER BY 1;

-- lock_partition_changes --
-- No partition is created or re-attached until the end of the transaction: hannun.make_timeline_month takes this lock too.
SELECT pg_advisory_xact_lock(hashtext('hannun.make_timeline_month'));

-- highest_event_with_roll_up --
-- The highest number of an event that has rows in the 15-minute roll-up.
SELECT max(event_no) FROM hannun.timeline_quarters;

-- delete_roll_up_of_detached_months --
-- Delete the 15-minute roll-up of a page of events, before a month, where no attached month holds its minutes.
DELETE FROM hannun.timeline_quarters q
 WHERE q.event_no > %(after)s AND q.event_no <= %(up_to)s AND q.quarter < %(month)s
   AND NOT EXISTS (SELECT FROM hannun.timeline_spans('1970-01-01', %(month)s) s
                    WHERE q.quarter >= s.begins AND q.quarter < s.ends);

-- month_states --
-- Every month that has a partition, a table that is detached, or participants of which neither is left; the oldest first.
SELECT month, CASE WHEN bool_or(state = 'attached') THEN 'attached' WHEN bool_or(state = 'detached') THEN 'detached'
                   ELSE 'dropped' END
  FROM (SELECT generate_series(begins, ends - interval '1 month', interval '1 month')::date AS month, 'attached' AS state
          FROM hannun.timeline_spans('0001-01-01', '9999-01-01')
         UNION ALL
        SELECT to_date(right(relname, 7), 'YYYY_MM'), 'detached' FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relname ~ '^timeline_data_[0-9]{4}_[0-9]{2}$'
         UNION ALL
        SELECT DISTINCT month, 'dropped' FROM hannun.timeline_months) AS found
 GROUP BY month ORDER BY month;

-- changed_months --
-- Months that were attached or detached since the answers over them were last invalidated, and whether they are attached now.
SELECT coalesce(present.month, before.month), present.month IS NOT NULL
  FROM (SELECT generate_series(begins, ends - interval '1 month', interval '1 month')::date AS month
          FROM hannun.timeline_spans('0001-01-01', '9999-01-01')) AS present
  FULL JOIN hannun.attached_months before USING (month)
 WHERE present.month IS NULL OR before.month IS NULL ORDER BY 1;

-- raise_versions_of_month --
-- Give a page of the events with something in a month a new version, because their answers change with it. The roll-up of a
-- month that was attached by hand is written again. Events are locked in the order in which every writer locks.
WITH page AS (
    SELECT event_no FROM hannun.timeline_months
     WHERE event_no > %(after)s AND month = %(month)s ORDER BY event_no LIMIT %(limit)s
), locked AS (
    SELECT e.event_no FROM hannun.events e JOIN page USING (event_no) ORDER BY e.event_no FOR UPDATE OF e
)
UPDATE hannun.events SET
       version = greatest(events.version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
       cumulative_owed_from = CASE WHEN %(attached)s THEN least(events.cumulative_owed_from, %(month)s::date)
                                   ELSE events.cumulative_owed_from END
  FROM locked WHERE events.event_no = locked.event_no
RETURNING events.event_no, events.event_id, events.user_id, events.version;

-- record_attached --
-- The answers over this month are invalidated since it was attached.
INSERT INTO hannun.attached_months VALUES (%(month)s) ON CONFLICT DO NOTHING;

-- record_detached --
-- The answers over this month are invalidated since it was detached.
DELETE FROM hannun.attached_months WHERE month = %(month)s;

-- lock_maintenance --
-- Only one maintenance of the partitions at a time: held until the end of the transaction. Returns whether it is held.
SELECT pg_try_advisory_xact_lock(hashtext('hannun.partitions'));

-- maintenance_in_progress --
-- The session that maintains the partitions now: process, address, and since when.
SELECT a.pid, coalesce(host(a.client_addr), 'this machine'), to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS')
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_database
       WHERE datname = current_database()) AND l.classid::bigint << 32 | l.objid::bigint = hashtext('hannun.partitions');

-- wait_for_locks_at_most --
-- How long each statement of this transaction waits for a lock.
SELECT set_config('lock_timeout', %(time)s, true);

-- database_id --
-- Identifies this database's data, without revealing its key.
SELECT encode(sha256(participant_key), 'hex') FROM hannun.identity;

-- read_month --
-- The rows of a month's table, in the order of the primary key.
COPY (SELECT id, event_id, timestamp, participants, views, engagement, conversions, cumulative_participants, created_at,
             updated_at FROM {} ORDER BY event_id, timestamp) TO STDOUT (FORMAT csv, HEADER);

-- create_loading_table --
-- The table into which a month is loaded, in the transaction that then attaches it. Nobody else ever sees it.
CREATE TABLE public.timeline_data_loading (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS);

-- load --
-- Load the rows of a month.
COPY public.timeline_data_loading (id, event_id, timestamp, participants, views, engagement, conversions,
                                   cumulative_participants, created_at, updated_at) FROM STDIN (FORMAT csv);

-- drop_loading_table --
-- Remove what was loaded.
DROP TABLE public.timeline_data_loading;

-- events_that_differ --
-- How many events have other sums in the loaded month than in the ledgers.
WITH loaded AS (
    SELECT event_id, sum(participants) AS participants, sum(views) AS views, sum(engagement) AS engagement,
           sum(conversions) AS conversions
      FROM public.timeline_data_loading GROUP BY event_id
), ledger AS (
    SELECT e.event_id, sum(l.participants) AS participants, sum(l.views) AS views, sum(l.engagement) AS engagement,
           sum(l.conversions) AS conversions
      FROM (SELECT event_no, participants::bigint, 0::bigint AS views, 0::bigint AS engagement, 0::bigint AS conversions
              FROM hannun.timeline_months WHERE month = %(month)s
             UNION ALL
            SELECT event_no, 0, sum(views), sum(likes + comments + shares + clicks), sum(conversions)
              FROM hannun.increments WHERE minute >= %(month)s AND minute < %(month)s + interval '1 month'
             GROUP BY event_no) AS l JOIN hannun.events e USING (event_no) GROUP BY e.event_id
)
SELECT count(*) FROM loaded a FULL JOIN ledger b USING (event_id)
 WHERE (coalesce(a.participants, 0), coalesce(a.views, 0), coalesce(a.engagement, 0), coalesce(a.conversions, 0))
    <> (coalesce(b.participants, 0), coalesce(b.views, 0), coalesce(b.engagement, 0), coalesce(b.conversions, 0));
