-- relation_sizes --
-- The tables of the service, the largest first. A partitioned table is the sum of its partitions; months that are detached
-- are one row. PostgreSQL's own estimate of the rows; -1 where it was never analysed.
SELECT "table", sum(bytes)::bigint, sum(index_bytes)::bigint, sum(rows)::bigint, count(*)::int
  FROM (SELECT CASE WHEN c.relname ~ '^timeline_data_[0-9]{4}_[0-9]{2}$' AND pg_partition_root(c.oid) IS NULL
                    THEN 'timeline_data, detached months'
                    ELSE coalesce(pg_partition_root(c.oid), c.oid)::regclass::text END AS "table",
               pg_table_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes, c.reltuples AS rows
          FROM pg_class c
         WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace)) AS relations
 GROUP BY 1 ORDER BY sum(bytes) + sum(index_bytes) DESC, 1 LIMIT %(limit)s;

-- index_sizes --
-- The indexes of the service, the largest first, with their scans. An index of a partitioned table is the sum over its
-- partitions.
SELECT coalesce(pg_partition_root(i.indexrelid), i.indexrelid)::regclass::text,
       sum(pg_relation_size(i.indexrelid))::bigint, coalesce(sum(s.idx_scan), 0)::bigint
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
 WHERE c.relkind = 'i' AND c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace)
 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(limit)s;

-- database_bytes --
-- The size of this database on disk.
SELECT pg_database_size(current_database());

-- open_dead_letters --
-- How many dead letters are open, up to a limit, so that the count never reads a long table.
SELECT count(*)
  FROM (SELECT FROM hannun.dead_letters WHERE resolved_at IS NULL ORDER BY dead_letter_no DESC LIMIT %(limit)s) AS newest;

-- statement_statistics --
-- The schema of the extension pg_stat_statements in this database, and whether the server has loaded its library.
SELECT (SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_stat_statements'),
       current_setting('pg_stat_statements.max', true) IS NOT NULL;

-- counting --
-- How far messages are counted: PostgreSQL's clock, the sum of all positions, the rows that were added to the ledgers of
-- participants and sales since the statistics began, partitions that wait for an operator, when one was last counted further,
-- and outbox entries that are not delivered.
SELECT clock_timestamp() AT TIME ZONE 'UTC',
       (SELECT coalesce(sum(next_offset), 0)::bigint FROM hannun.positions),
       (SELECT coalesce(sum(n_tup_ins), 0)::bigint FROM pg_stat_user_tables
         WHERE schemaname = 'hannun' AND relname IN ('participants', 'sales')),
       (SELECT count(*)::int FROM hannun.stopped_partitions),
       (SELECT max(updated_at) FROM hannun.positions),
       (SELECT count(*)::int FROM hannun.owed_invalidations);
