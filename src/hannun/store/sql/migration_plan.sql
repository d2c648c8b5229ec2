-- sizes --
-- The bytes of a table with its indexes, and without them; partitions included. 0 where there is no such table.
SELECT coalesce(sum(pg_total_relation_size(relid)), 0), coalesce(sum(pg_table_size(relid)), 0)
  FROM (SELECT to_regclass(%(table)s) UNION SELECT relid FROM pg_partition_tree(to_regclass(%(table)s))) AS tables (relid);

-- holders --
-- The oldest sessions that hold a lock on a table now: process id, role, application. This session reads only the catalog.
SELECT DISTINCT a.pid, a.usename, a.application_name
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
 WHERE l.locktype = 'relation' AND l.granted AND l.relation = to_regclass(%(table)s) AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
 ORDER BY a.pid LIMIT 3;
