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
