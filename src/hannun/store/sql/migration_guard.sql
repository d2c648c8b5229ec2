-- try_lock --
-- Take the right to migrate this database, for the session; false where another session has it.
SELECT pg_try_advisory_lock(hashtext('hannun migrate'), 0);

-- holders --
-- The session that has the right to migrate this database: process id, role, application.
SELECT a.pid, a.usename, a.application_name
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.objid = 0
   AND l.classid::bigint = hashtext('hannun migrate')::bigint & 4294967295
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database());

-- blockers --
-- The sessions that hold what a session waits for, the oldest first.
SELECT a.pid, a.usename, a.application_name
  FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids(%(backend)s)) ORDER BY a.backend_start;
