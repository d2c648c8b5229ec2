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
