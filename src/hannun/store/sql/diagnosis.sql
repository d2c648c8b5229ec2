-- What `hannun doctor` reads of the server and of the schema. Nothing here changes anything.

-- time_zone_settings --
-- The time zone of the database, or of a role in it, where somebody has set another one than UTC: (role or '', zone).
SELECT coalesce(r.rolname, ''), split_part(setting, '=', 2)
  FROM pg_db_role_setting s
  JOIN pg_database d ON d.oid = s.setdatabase OR s.setdatabase = 0
  LEFT JOIN pg_roles r ON r.oid = s.setrole
 CROSS JOIN LATERAL unnest(s.setconfig) AS setting
 WHERE d.datname = current_database() AND split_part(setting, '=', 1) ILIKE 'timezone'
   AND (s.setrole = 0 OR r.rolname IN ('analytics_readonly', 'analytics_readwrite', current_user));

-- missing_rights --
-- Rights that the service needs and this role lacks, and those that analytics_readonly and analytics_backup lack: (role, right,
-- object). Migrations revoke those that are left out here.
SELECT role, wanted, object FROM (
    SELECT current_user::text AS role, wanted, c.oid::regclass::text AS object,
           has_table_privilege(current_user, c.oid, wanted) AS has
      FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
     WHERE c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace) AND c.relkind IN ('r', 'p')
       AND NOT (c.relnamespace = 'hannun'::regnamespace AND (
                c.relname IN ('identity', 'participant_packing', 'schema_compatibility', 'schema_version') AND wanted <> 'SELECT'
             OR c.relname = 'audit_log' AND wanted IN ('UPDATE', 'DELETE')
             OR c.relname = 'audit_subjects' AND wanted = 'DELETE'))
     UNION ALL
    SELECT current_user, 'USAGE', c.oid::regclass::text, has_sequence_privilege(current_user, c.oid, 'USAGE')
      FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace) AND c.relkind = 'S'
     UNION ALL
    SELECT current_user, 'EXECUTE', p.oid::regprocedure::text, has_function_privilege(current_user, p.oid, 'EXECUTE')
      FROM pg_proc p WHERE p.oid = to_regprocedure('hannun.make_timeline_month(date)')
     UNION ALL
    SELECT r.rolname, 'SELECT', c.oid::regclass::text, has_table_privilege(r.oid, c.oid, 'SELECT')
      FROM pg_roles r, pg_class c
     WHERE r.rolname = 'analytics_readonly' AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
     UNION ALL
    SELECT r.rolname, 'SELECT', c.oid::regclass::text, has_table_privilege(r.oid, c.oid, 'SELECT')
      FROM pg_roles r, pg_class c
     WHERE r.rolname = 'analytics_backup' AND c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace)
       AND c.relkind IN ('r', 'p', 'S')
) AS rights WHERE NOT has ORDER BY 1, 3, 2;

-- connection_use --
-- How many connections are open, and how many there may be, of the server, of this database and of this role. A role without
-- pg_read_all_stats does not see the backend_type of others' sessions, so a worker of autovacuum counts too.
SELECT scope, used, most FROM (
    SELECT 'the server' AS scope, (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL) AS used,
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS most
     UNION ALL
    SELECT 'the database ' || datname, (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid), datconnlimit
      FROM pg_database d WHERE datname = current_database()
     UNION ALL
    SELECT 'the role ' || rolname, (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid), rolconnlimit
      FROM pg_roles r WHERE rolname = current_user) AS limits
 WHERE most > 0;

-- busy_readers --
-- Connections of the pools of `serve` whose statement has run for a while: how many, the longest, and how many wait for a lock.
SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)::float8,
       count(*) FILTER (WHERE wait_event_type = 'Lock')
  FROM pg_stat_activity
 WHERE application_name = 'hannun-serve-read' AND datname = current_database() AND state <> 'idle'
   AND clock_timestamp() - state_change >= make_interval(secs => %(busy_s)s);

-- blockers --
-- Sessions that others wait for, with how long the oldest of those has waited: (pid, application, state, seconds of its
-- transaction, sessions that wait, seconds of the longest wait).
SELECT b.pid, coalesce(b.application_name, ''), coalesce(b.state, 'unknown'),
       coalesce(extract(epoch FROM clock_timestamp() - b.xact_start), 0)::float8,
       count(*), max(extract(epoch FROM clock_timestamp() - w.state_change))::float8
  FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS blocking (pid)
  JOIN pg_stat_activity b ON b.pid = blocking.pid
 WHERE w.wait_event_type = 'Lock' AND w.datname = current_database()
   AND clock_timestamp() - w.state_change >= make_interval(secs => %(waited_s)s)
 GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1;

-- retaining_slots --
-- Replication slots that nobody reads and that keep WAL on the disk: (name, bytes).
SELECT slot_name::text, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                                        restart_lsn)::bigint AS bytes
  FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL
 ORDER BY 2 DESC;

-- indexes --
-- The indexes of the contract's tables: (table, unique, method and columns, valid).
SELECT c.relname::text, i.indisunique, regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', ''), i.indisvalid
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
 WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ('event_stats', 'channel_stats', 'timeline_data');

-- invalid_indexes --
-- Indexes that PostgreSQL does not use, as of an interrupted CREATE INDEX CONCURRENTLY.
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
 WHERE NOT i.indisvalid AND c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace) ORDER BY 1;

-- timeline_kind --
-- What public.timeline_data is: 'p' where it is partitioned; and its rows by PostgreSQL's estimate.
SELECT relkind::text, greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'public.timeline_data'::regclass;

-- explain_month --
-- The plan of a read of one month of an event's timeline.
EXPLAIN (FORMAT JSON)
SELECT sum(participants) FROM public.timeline_data WHERE event_id = '' AND timestamp >= %(month)s AND timestamp < %(end)s;

-- stale_statistics --
-- Tables of which much has changed since they were last analysed: (table, changed rows, rows, autovacuum is off for it).
SELECT s.relid::regclass::text, s.n_mod_since_analyze, greatest(c.reltuples, 0)::bigint,
       current_setting('autovacuum') = 'off' OR coalesce('autovacuum_enabled=false' = ANY(c.reloptions), false)
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
 WHERE s.schemaname IN ('public', 'hannun')
   AND s.n_mod_since_analyze > %(changed_min)s + 0.3 * greatest(c.reltuples, 0)
 ORDER BY 2 DESC LIMIT 20;

-- checksums --
-- Whether pages have checksums, and how many pages of this database had a wrong one.
SELECT current_setting('data_checksums') = 'on', coalesce(checksum_failures, 0), checksum_last_failure AT TIME ZONE 'UTC'
  FROM pg_stat_database WHERE datname = current_database();

-- table_pages --
-- The tables of the service that hold rows, with their pages of 8 kB; the smallest first.
SELECT c.oid::regclass::text, pg_relation_size(c.oid) / current_setting('block_size')::int AS pages
  FROM pg_class c
 WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace) AND pg_relation_size(c.oid) > 0
 ORDER BY 2, 1;

-- index_check --
-- The function of the extension amcheck that checks an index, and whether this role may execute it; no row without it.
SELECT format('%I.%I', n.nspname, p.proname), has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE')
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace JOIN pg_proc p ON p.pronamespace = n.oid
 WHERE e.extname = 'amcheck' AND p.proname = 'bt_index_check' AND p.pronargs = 1;

-- checkable_indexes --
-- The B-tree indexes of the service's tables that can be checked in short: unique ones first, and the smallest first.
SELECT c.oid::regclass::text
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
 WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND i.indisready
   AND c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace)
   AND pg_relation_size(c.oid) <= %(pages_max)s * current_setting('block_size')::bigint
 ORDER BY i.indisunique DESC, pg_relation_size(c.oid), 1 LIMIT %(count_max)s;

-- sampled_drift --
-- Some events, whose figures are recomputed from the ledger: (event number, table, found, expected) where they differ.
WITH sample AS MATERIALIZED (
    SELECT event_no, event_id, user_id, participants FROM hannun.events
     WHERE participants <= %(participants_max)s
     ORDER BY hashint4(event_no + %(seed)s) LIMIT %(events)s
), ledger AS (
    SELECT s.event_no, (SELECT count(*) FROM hannun.arrivals p WHERE p.event_no = s.event_no) AS participants FROM sample s
)
SELECT s.event_no, 'hannun.events', s.participants::bigint, l.participants
  FROM sample s JOIN ledger l USING (event_no) WHERE s.participants <> l.participants
 UNION ALL
SELECT s.event_no, 'public.event_stats', e.total_participants, l.participants
  FROM sample s JOIN ledger l USING (event_no) LEFT JOIN public.event_stats e USING (event_id)
 WHERE s.user_id IS NOT NULL AND e.total_participants IS DISTINCT FROM l.participants
 UNION ALL
SELECT s.event_no, 'public.channel_stats', c.participants, l.participants
  FROM sample s JOIN LATERAL (
       SELECT count(*) AS participants FROM hannun.arrivals p
         JOIN hannun.channels k USING (channel_no)
         LEFT JOIN hannun.distributions d USING (event_no, channel_no)
        WHERE p.event_no = s.event_no AND coalesce(k.channel_type, d.channel_type) IS NOT NULL) AS l ON true
  JOIN LATERAL (SELECT coalesce(sum(participants), 0) AS participants FROM public.channel_stats c
                 WHERE c.event_id = s.event_id) AS c ON true
 WHERE c.participants <> l.participants
 ORDER BY 1, 2;

-- dead_letters_by_hour --
-- Dead letters of the last hour and of the hour before, by kind and reason; the most frequent first.
SELECT kind, reason, count(*) FILTER (WHERE created_at >= at - interval '1 hour') AS newest,
       count(*) FILTER (WHERE created_at < at - interval '1 hour') AS before
  FROM (SELECT kind, reason, created_at, clock_timestamp()::timestamp AS at FROM hannun.dead_letters
         WHERE created_at >= clock_timestamp()::timestamp - interval '2 hours'
         ORDER BY created_at DESC LIMIT 100000) AS recent
 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2;

-- late_invalidations --
-- Outbox entries that are not delivered for a while: how many, and the age of the oldest in seconds.
SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp()::timestamp - owed_at)), 0)::float8
  FROM (SELECT owed_at FROM hannun.owed_invalidations
         WHERE owed_at < clock_timestamp()::timestamp - make_interval(secs => %(late_s)s) LIMIT 100000) AS late;
