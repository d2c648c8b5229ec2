-- What an operator sees of the refresh. Nothing here locks or writes.

-- work_by_channel --
-- What a round does on each channel: pairs of event and channel in all and in open pieces, and the counts of the pieces done.
SELECT w.channel, coalesce(c.name, w.channel), sum(cardinality(w.event_nos))::bigint,
       coalesce(sum(cardinality(w.event_nos)) FILTER (WHERE w.done_at IS NULL), 0)::bigint,
       (SELECT coalesce(jsonb_object_agg(name, amount), '{}')
          FROM (SELECT name, sum(amount::bigint) AS amount
                  FROM hannun.round_work done CROSS JOIN LATERAL jsonb_each_text(done.result) AS counted (name, amount)
                 WHERE done.job = %(job)s AND done.due_at = %(due_at)s AND done.channel = w.channel
                 GROUP BY name) AS counted)
  FROM hannun.round_work w LEFT JOIN hannun.channels c ON c.key = w.channel
 WHERE w.job = %(job)s AND w.due_at = %(due_at)s AND w.channel IS NOT NULL
 GROUP BY w.channel, c.name;

-- channel_ages --
-- How old the measurements of each channel are, over the ACTIVE events that it has distributed, or measured.
WITH active AS MATERIALIZED (
    SELECT event_no, status, status_at, ends_at FROM hannun.events WHERE status = 'ACTIVE' AND user_id IS NOT NULL
), pairs AS (
    SELECT m.channel_no, m.measured_at,
           hannun.stale_at(m.measured_at, m.imported, %(stale_after)s, e.status, e.status_at, e.ends_at) AS stale_at
      FROM active e JOIN hannun.channel_measurements m USING (event_no)
     UNION ALL
    SELECT d.channel_no, NULL, NULL
      FROM active e JOIN hannun.distributions d USING (event_no)
      LEFT JOIN hannun.channel_measurements m USING (event_no, channel_no)
     WHERE d.succeeded_at IS NOT NULL AND m.event_no IS NULL
)
SELECT c.key, c.name, p.active, p.measured, p.stale, p.oldest_at
  FROM (SELECT channel_no, count(*) AS active, count(measured_at) AS measured,
               count(*) FILTER (WHERE stale_at <= clock_timestamp()::timestamp) AS stale, min(measured_at) AS oldest_at
          FROM pairs GROUP BY channel_no) AS p
  JOIN hannun.channels c USING (channel_no);

-- breakers --
-- The circuit breakers of all channels that were ever called.
SELECT channel, details FROM hannun.channel_breakers;

-- budgets --
-- What is taken of all budgets. Instants are seconds since 1970.
SELECT scope, budget, extract(epoch FROM window_starts_at)::float8, units, extract(epoch FROM free_at)::float8,
       extract(epoch FROM blocked_until)::float8
  FROM hannun.channel_budgets ORDER BY scope, budget;

-- newest_counted --
-- When a partition of Kafka was last counted further, and the outbox entries that are not delivered.
SELECT (SELECT max(updated_at) FROM hannun.positions), (SELECT count(*) FROM hannun.owed_invalidations);

-- newest_event --
-- The newest ACTIVE event that a channel has distributed.
SELECT e.event_id::text
  FROM hannun.channels c
  JOIN hannun.distributions d USING (channel_no)
  JOIN hannun.events e USING (event_no)
 WHERE c.key = %(channel)s AND d.succeeded_at IS NOT NULL AND e.status = 'ACTIVE' AND e.user_id IS NOT NULL
 ORDER BY e.event_no DESC LIMIT 1;

-- newest_refusals --
-- Why the newest attempts of ACTIVE events brought nothing, by channel; the most frequent reason first.
SELECT c.key, left(m.refused, 60), count(*)
  FROM hannun.channel_measurements m
  JOIN hannun.events e USING (event_no)
  JOIN hannun.channels c USING (channel_no)
 WHERE m.refused IS NOT NULL AND e.status = 'ACTIVE'
 GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2;
