-- begin --
-- Record that an operation begins. Returns the number of the run.
INSERT INTO hannun.operation_runs (kind, name, started_at) VALUES (%(kind)s, %(name)s, clock_timestamp()) RETURNING run_no;

-- end --
-- Record how a run ended. Nothing where it has ended. The archive of the write-ahead log has succeeded up to its newest `extend`.
UPDATE hannun.operation_runs
   SET ended_at = now, outcome = %(outcome)s, seconds = extract(epoch FROM now - started_at), bytes = %(bytes)s,
       name = coalesce(%(name)s, name), detail = %(detail)s
  FROM (SELECT clock_timestamp()::timestamp AS now) AS clock
 WHERE run_no = %(run_no)s AND (ended_at IS NULL OR (kind = 'wal-archive' AND outcome = 'succeeded'));

-- extend --
-- Record that an operation without an end has succeeded up to now.
UPDATE hannun.operation_runs
   SET ended_at = now, outcome = 'succeeded', seconds = extract(epoch FROM now - started_at), detail = %(detail)s
  FROM (SELECT clock_timestamp()::timestamp AS now) AS clock
 WHERE run_no = %(run_no)s AND outcome IS DISTINCT FROM 'failed';

-- prune --
-- Keep the newest 1,000 runs, and the newest success of each kind.
DELETE FROM hannun.operation_runs
 WHERE run_no <= (SELECT max(run_no) FROM hannun.operation_runs) - 1000
   AND run_no NOT IN (SELECT max(run_no) FROM hannun.operation_runs WHERE outcome = 'succeeded' GROUP BY kind);

-- newest_successes --
-- The newest success of each kind, and how many seconds ago it ended.
SELECT DISTINCT ON (kind) kind, ended_at, name, bytes, seconds,
       extract(epoch FROM clock_timestamp()::timestamp - ended_at)::double precision AS age_s
  FROM hannun.operation_runs WHERE outcome = 'succeeded' ORDER BY kind, ended_at DESC;

-- newest_drift --
-- How many figures differed in the newest run of `hannun reconcile` that has ended.
SELECT (detail->>'drift')::int FROM hannun.operation_runs
 WHERE kind = 'reconcile' AND outcome = 'succeeded' ORDER BY run_no DESC LIMIT 1;

-- newest --
-- The newest runs, newest first.
SELECT run_no, kind, name, started_at, ended_at, outcome, seconds, bytes, detail
  FROM hannun.operation_runs ORDER BY run_no DESC LIMIT %(limit)s;
