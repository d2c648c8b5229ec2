-- make_month --
-- Makes the partition of a month where it is missing; says whether it did.
SELECT hannun.make_timeline_month(%(month)s::date);

-- months --
-- The months that have a partition.
SELECT to_date(right(c.relname, 7), 'YYYY_MM') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'public.timeline_data'::regclass ORDER BY 1;
