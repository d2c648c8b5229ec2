-- synchronize_breakers --
-- Save breakers whose version is still the one that was read, and read all that are wanted, in one statement. A row comes
-- back as it was before, or, with `saved`, as it is now. An outage begins with the first opening and ends with the closing: trials between
-- them belong to it. A save of a closed breaker also ends an outage whose closing a process of an older version has saved.
WITH saved AS (
    INSERT INTO hannun.channel_breakers AS b (channel, version, state, since, details)
    SELECT n.channel, n.version + 1, n.state, to_timestamp(n.since_s) AT TIME ZONE 'UTC', n.details
      FROM unnest(%(channels)s::text[], %(versions)s::bigint[], %(states)s::text[], %(since_s)s::float8[],
                  %(details)s::jsonb[]) AS n (channel, version, state, since_s, details)
     ORDER BY n.channel
        ON CONFLICT (channel) DO UPDATE
       SET version = excluded.version, state = excluded.state, since = excluded.since, details = excluded.details
     WHERE b.version = excluded.version - 1
 RETURNING b.channel, b.version, b.details, b.state, b.since
), begun AS (
    INSERT INTO hannun.channel_outages (channel, began_at, reason)
    SELECT channel, since, coalesce(details->>'reason', '') FROM saved s
     WHERE state = 'open'
       AND NOT EXISTS (SELECT FROM hannun.channel_outages o WHERE o.channel = s.channel AND o.ended_at IS NULL)
        ON CONFLICT DO NOTHING
), ended AS (
    UPDATE hannun.channel_outages o SET ended_at = greatest(s.since, o.began_at)
      FROM saved s WHERE s.state = 'closed' AND o.channel = s.channel AND o.ended_at IS NULL
), pruned AS (
    DELETE FROM hannun.channel_outages o
     USING saved s
     WHERE s.state = 'open' AND o.channel = s.channel
       AND o.began_at <= (SELECT began_at FROM hannun.channel_outages
                           WHERE channel = s.channel ORDER BY began_at DESC OFFSET 1000 LIMIT 1)
)
SELECT extract(epoch FROM clock_timestamp())::float8, w.channel, coalesce(s.version, b.version, 0),
       coalesce(s.details, b.details), s.channel IS NOT NULL AS saved
  FROM unnest(%(wanted)s::text[]) AS w (channel)
  LEFT JOIN saved s USING (channel)
  LEFT JOIN hannun.channel_breakers b USING (channel);

-- now --
-- Seconds since 1970 by this server's clock.
SELECT extract(epoch FROM clock_timestamp())::float8;

-- add_budgets --
-- Rows for budgets that were never used, so that they can be locked.
INSERT INTO hannun.channel_budgets (scope, budget, window_starts_at, units)
SELECT scope, budget, to_timestamp(0) AT TIME ZONE 'UTC', 0
  FROM unnest(%(scopes)s::text[], %(budgets)s::text[]) AS n (scope, budget)
 ORDER BY scope, budget
    ON CONFLICT DO NOTHING;

-- lock_budgets --
-- What is taken of these budgets; locked in one order until the transaction ends. The clock is read after the locks.
SELECT extract(epoch FROM clock_timestamp())::float8, locked.*
  FROM (SELECT b.scope, b.budget, extract(epoch FROM window_starts_at)::float8 AS window_starts_at, units,
               extract(epoch FROM free_at)::float8 AS free_at, extract(epoch FROM blocked_until)::float8 AS blocked_until
          FROM hannun.channel_budgets b
          JOIN unnest(%(scopes)s::text[], %(budgets)s::text[]) AS n (scope, budget) USING (scope, budget)
         ORDER BY b.scope, b.budget
           FOR UPDATE OF b) AS locked;

-- save_budgets --
-- What is taken now.
UPDATE hannun.channel_budgets b
   SET window_starts_at = to_timestamp(n.window_starts_s) AT TIME ZONE 'UTC', units = n.units,
       free_at = to_timestamp(n.free_at_s) AT TIME ZONE 'UTC',
       blocked_until = to_timestamp(n.blocked_until_s) AT TIME ZONE 'UTC'
  FROM unnest(%(scopes)s::text[], %(budgets)s::text[], %(window_starts_s)s::float8[], %(units)s::integer[],
              %(free_at_s)s::float8[], %(blocked_until_s)s::float8[])
       AS n (scope, budget, window_starts_s, units, free_at_s, blocked_until_s)
 WHERE b.scope = n.scope AND b.budget = n.budget;
