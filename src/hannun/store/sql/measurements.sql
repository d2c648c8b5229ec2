-- Measurements of channels (store/measurements.py): increments, corrections and totals, with every aggregate that follows.

-- lock_events --
-- Locks these events until the commit, in the order of their numbers, as batches do: what is read of them from here on stays
-- true, and nobody deadlocks. By their ids, because the numbers are other ones in a restored database.
SELECT event_no, event_id, user_id FROM hannun.events
 WHERE event_id = ANY(%(event_ids)s::text[]) ORDER BY event_no FOR UPDATE;

-- read_measured --
-- For each measurement: the channel and its type for this event, what was measured so far, and what the minute holds already.
SELECT given.position, c.channel_no, c.name, coalesce(c.channel_type, d.channel_type), m.measured_at, m.falls,
       m.impressions, m.views, m.clicks, m.conversions, m.likes, m.comments, m.shares, m.total_calls, m.completed_calls,
       m.average_duration,
       i.impressions, i.views, i.clicks, i.conversions, i.likes, i.comments, i.shares, i.total_calls, i.completed_calls,
       t.views, t.engagement, t.conversions
  FROM unnest(%(positions)s::int[], %(event_nos)s::int[], %(event_ids)s::text[], %(channels)s::text[],
              %(minutes)s::timestamp[]) AS given (position, event_no, event_id, channel, minute)
  JOIN hannun.channels c ON c.key = given.channel
  LEFT JOIN hannun.distributions d ON d.event_no = given.event_no AND d.channel_no = c.channel_no
  LEFT JOIN hannun.channel_measurements m ON m.event_no = given.event_no AND m.channel_no = c.channel_no
  LEFT JOIN hannun.increments i
         ON i.event_no = given.event_no AND i.channel_no = c.channel_no AND i.minute = given.minute
  LEFT JOIN public.timeline_data t ON t.event_id = given.event_id AND t.timestamp = given.minute;

-- add_increments --
-- What was measured since the poll before, at the minute of the poll.
INSERT INTO hannun.increments AS i (event_no, channel_no, minute, baseline, impressions, views, clicks, conversions, likes,
                                    comments, shares, total_calls, completed_calls)
SELECT * FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(minutes)s::timestamp[], %(baselines)s::boolean[],
                     %(impressions)s::int[], %(views)s::int[], %(clicks)s::int[], %(conversions)s::int[], %(likes)s::int[],
                     %(comments)s::int[], %(shares)s::int[], %(total_calls)s::int[], %(completed_calls)s::int[])
    ON CONFLICT (event_no, channel_no, minute) DO UPDATE SET
       baseline = i.baseline OR excluded.baseline, impressions = i.impressions + excluded.impressions,
       views = i.views + excluded.views, clicks = i.clicks + excluded.clicks,
       conversions = i.conversions + excluded.conversions, likes = i.likes + excluded.likes,
       comments = i.comments + excluded.comments, shares = i.shares + excluded.shares,
       total_calls = i.total_calls + excluded.total_calls, completed_calls = i.completed_calls + excluded.completed_calls;

-- add_corrections --
-- What a channel has taken back.
INSERT INTO hannun.corrections (event_no, channel_no, corrected_at, metric, amount)
SELECT * FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(corrected_ats)s::timestamp[], %(metrics)s::text[],
                     %(amounts)s::int[]);

-- save_measured --
-- The totals of channels, after an accepted poll. A newer attempt that failed stays the newest attempt.
INSERT INTO hannun.channel_measurements AS m
       (event_no, channel_no, measured_at, falls, impressions, views, clicks, conversions, likes, comments, shares,
        total_calls, completed_calls, average_duration, imported, polled_at)
SELECT *, measured_at FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(measured_ats)s::timestamp[],
              %(falls)s::jsonb[], %(impressions)s::int[], %(views)s::int[], %(clicks)s::int[], %(conversions)s::int[],
              %(likes)s::int[], %(comments)s::int[], %(shares)s::int[], %(total_calls)s::int[],
              %(completed_calls)s::int[], %(average_durations)s::int[],
              %(importeds)s::boolean[])
       AS given (event_no, channel_no, measured_at, falls, impressions, views, clicks, conversions, likes, comments, shares,
                 total_calls, completed_calls, average_duration, imported)
    ON CONFLICT (event_no, channel_no) DO UPDATE SET
       measured_at = excluded.measured_at, falls = excluded.falls, impressions = excluded.impressions,
       views = excluded.views, clicks = excluded.clicks, conversions = excluded.conversions, likes = excluded.likes,
       comments = excluded.comments, shares = excluded.shares, total_calls = excluded.total_calls,
       completed_calls = excluded.completed_calls, average_duration = excluded.average_duration,
       imported = excluded.imported,
       polled_at = greatest(m.polled_at, excluded.polled_at),
       refused = CASE WHEN m.polled_at > excluded.polled_at THEN m.refused END;

-- save_attempts --
-- Attempts that brought nothing: only when, and why. An older attempt than the newest changes nothing.
INSERT INTO hannun.channel_measurements AS m (event_no, channel_no, polled_at, refused)
SELECT * FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(polled_ats)s::timestamp[], %(refusals)s::text[])
    ON CONFLICT (event_no, channel_no) DO UPDATE SET polled_at = excluded.polled_at, refused = excluded.refused
    WHERE m.polled_at IS NULL OR m.polled_at < excluded.polled_at;

-- publish_channels --
-- The totals of channels in channel_stats, where an unknown count is 0. A channel without a type for its event has no row
-- there. updated_at changes with every poll: it is the version of the channel's answers, which say when it was measured.
INSERT INTO public.channel_stats AS s
       (event_id, channel_name, channel_type, impressions, views, clicks, conversions, likes, comments, shares, total_calls,
        completed_calls, average_duration)
SELECT e.event_id, c.name, coalesce(c.channel_type, d.channel_type), coalesce(m.impressions, 0), coalesce(m.views, 0),
       coalesce(m.clicks, 0), coalesce(m.conversions, 0), coalesce(m.likes, 0), coalesce(m.comments, 0),
       coalesce(m.shares, 0), coalesce(m.total_calls, 0), coalesce(m.completed_calls, 0), coalesce(m.average_duration, 0)
  FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[]) AS measured (event_no, channel_no)
  JOIN hannun.channel_measurements m USING (event_no, channel_no)
  JOIN hannun.channels c USING (channel_no)
  JOIN hannun.events e USING (event_no)
  LEFT JOIN hannun.distributions d USING (event_no, channel_no)
 WHERE m.measured_at IS NOT NULL AND coalesce(c.channel_type, d.channel_type) IS NOT NULL
    ON CONFLICT (event_id, channel_name) DO UPDATE SET
       impressions = excluded.impressions, views = excluded.views, clicks = excluded.clicks,
       conversions = excluded.conversions, likes = excluded.likes, comments = excluded.comments, shares = excluded.shares,
       total_calls = excluded.total_calls, completed_calls = excluded.completed_calls,
       average_duration = excluded.average_duration, updated_at = clock_timestamp();

-- add_timeline_measured --
-- Views, engagement and conversions by minute; and a row for each month in which anything was measured.
WITH measured AS MATERIALIZED (
    SELECT * FROM unnest(%(event_nos)s::int[], %(event_ids)s::text[], %(minutes)s::timestamp[], %(views)s::int[],
                         %(engagements)s::int[], %(conversions)s::int[])
           AS measured (event_no, event_id, minute, views, engagement, conversions)
), by_month AS (
    INSERT INTO hannun.timeline_months (event_no, month)
    SELECT DISTINCT event_no, date_trunc('month', minute)::date FROM measured ON CONFLICT (event_no, month) DO NOTHING
)
INSERT INTO public.timeline_data AS t (event_id, timestamp, views, engagement, conversions)
SELECT event_id, minute, views, engagement, conversions FROM measured
    ON CONFLICT (event_id, timestamp) DO UPDATE SET
       views = t.views + excluded.views, engagement = t.engagement + excluded.engagement,
       conversions = t.conversions + excluded.conversions, updated_at = clock_timestamp();

-- raise_versions --
-- The new version of events that were measured, and the start of their pending roll-up.
UPDATE hannun.events SET
       cumulative_owed_from = least(events.cumulative_owed_from, measured.minute),
       version = greatest(events.version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
  FROM unnest(%(event_nos)s::int[], %(minutes)s::timestamp[]) AS measured (event_no, minute)
 WHERE events.event_no = measured.event_no
RETURNING events.event_no, events.version;

-- publish_views --
-- The views of events: the sum of their channels' views, as far as the column holds it (publish_events in batches.sql does the
-- same).
UPDATE public.event_stats s SET total_views = measured.views, updated_at = clock_timestamp()
  FROM (SELECT c.event_id, least(sum(c.views), 2147483647) AS views FROM public.channel_stats c
         WHERE c.event_id = ANY(%(event_ids)s::text[]) GROUP BY c.event_id) measured
 WHERE s.event_id = measured.event_id AND s.total_views <> measured.views;

-- now --
-- The database's time, UTC: when totals are true that are typed now.
SELECT clock_timestamp()::timestamp;

-- measurable --
-- Those of these events that exist, and whether the channel has a type for them.
SELECT e.event_id, coalesce(c.channel_type, d.channel_type) IS NOT NULL
  FROM hannun.events e
  LEFT JOIN hannun.channels c ON c.key = %(channel)s
  LEFT JOIN hannun.distributions d ON d.event_no = e.event_no AND d.channel_no = c.channel_no
 WHERE e.event_id = ANY(%(event_ids)s::text[]);
