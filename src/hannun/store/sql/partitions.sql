-- create_month --
-- Create the partition of a month where it is missing; returns whether it was created.
SELECT hannun.make_timeline_month(%(month)s::date);

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
