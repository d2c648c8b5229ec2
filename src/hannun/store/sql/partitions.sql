-- make_month --
-- Makes the partition of a month where it is missing; says whether it did.
SELECT hannun.make_timeline_month(%(month)s::date);

-- months --
-- The months that have a partition.
SELECT to_date(right(c.relname, 7), 'YYYY_MM') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'public.timeline_data'::regclass ORDER BY 1;

-- broken_off --
-- Months whose detachment was begun and not ended: nobody reads them, and no other can be detached.
SELECT to_date(right(c.relname, 7), 'YYYY_MM') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'public.timeline_data'::regclass AND i.inhdetachpending ORDER BY 1;

-- hold_months --
-- No month is made or taken in again until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('hannun.make_timeline_month'));

-- newest_quartered --
-- The highest number of an event that has quarters.
SELECT max(event_no) FROM hannun.timeline_quarters;

-- forget_quarters --
-- Forget the quarters of some events before a month that are of no month in the timeline.
DELETE FROM hannun.timeline_quarters q
 WHERE q.event_no > %(after)s AND q.event_no <= %(up_to)s AND q.quarter < %(month)s
   AND NOT EXISTS (SELECT FROM hannun.timeline_spans('1970-01-01', %(month)s) s
                    WHERE q.quarter >= s.begins AND q.quarter < s.ends);
