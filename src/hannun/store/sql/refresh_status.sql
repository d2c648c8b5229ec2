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
SELECT c.key, c.name, count(*), count(p.measured_at),
       count(*) FILTER (WHERE hannun.stale_at(p.measured_at, p.imported, %(stale_after)s, e.status, e.status_at,
                              e.ends_at) <= clock_timestamp()::timestamp),
       min(p.measured_at)
  FROM (SELECT event_no, channel_no, m.measured_at, m.imported
          FROM (SELECT event_no, channel_no FROM hannun.distributions WHERE succeeded_at IS NOT NULL) AS d
          FULL JOIN hannun.channel_measurements m USING (event_no, channel_no)) AS p
  JOIN hannun.events e USING (event_no)
  JOIN hannun.channels c USING (channel_no)
 WHERE e.status = 'ACTIVE' AND e.user_id IS NOT NULL
 GROUP BY c.key, c.name;

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
