-- Copies what channels have measured from the live database to the shadow (store/measurement_copy.py). Events and channels have
-- other numbers there, so rows travel with their ids. `event_ids` are the events to copy; NULL is all.

-- read_increments --
COPY (SELECT e.event_id, c.key, c.name, i.minute, i.baseline, i.impressions, i.views, i.clicks, i.conversions, i.likes,
             i.comments, i.shares, i.total_calls, i.completed_calls
        FROM hannun.increments i JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)
       WHERE %(event_ids)s::text[] IS NULL OR e.event_id = ANY(%(event_ids)s::text[])) TO STDOUT;

-- read_corrections --
COPY (SELECT x.correction_no, e.event_id, c.key, x.corrected_at, x.metric, x.amount
        FROM hannun.corrections x JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)
       WHERE %(event_ids)s::text[] IS NULL OR e.event_id = ANY(%(event_ids)s::text[])) TO STDOUT;

-- read_totals --
COPY (SELECT e.event_id, c.key, c.name, m.measured_at, m.impressions, m.views, m.clicks, m.conversions, m.likes, m.comments,
             m.shares, m.total_calls, m.completed_calls, m.average_duration, m.falls, m.imported, m.polled_at, m.refused
        FROM hannun.channel_measurements m JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)
       WHERE %(event_ids)s::text[] IS NULL OR e.event_id = ANY(%(event_ids)s::text[])) TO STDOUT;

-- receive --
-- Where the rows arrive, until the end of the transaction.
CREATE TEMP TABLE received_increments (
    event_id text, key text, name text, minute timestamp, baseline boolean, impressions integer, views integer,
    clicks integer, conversions integer, likes integer, comments integer, shares integer, total_calls integer,
    completed_calls integer) ON COMMIT DROP;
CREATE TEMP TABLE received_corrections (
    correction_no bigint, event_id text, key text, corrected_at timestamp, metric text, amount integer) ON COMMIT DROP;
CREATE TEMP TABLE received_totals (
    event_id text, key text, name text, measured_at timestamp, impressions integer, views integer, clicks integer,
    conversions integer, likes integer, comments integer, shares integer, total_calls integer, completed_calls integer,
    average_duration integer, falls jsonb, imported boolean, polled_at timestamp, refused text) ON COMMIT DROP;

-- write_increments --
COPY received_increments FROM STDIN;

-- write_corrections --
COPY received_corrections FROM STDIN;

-- write_totals --
COPY received_totals FROM STDIN;

-- add_channels --
-- Channels that the shadow does not know yet.
INSERT INTO hannun.channels (key, name) SELECT DISTINCT ON (key) key, name FROM received_totals ORDER BY key
    ON CONFLICT (key) DO NOTHING;

-- months --
-- The months in which anything was measured.
SELECT DISTINCT date_trunc('month', minute)::date FROM received_increments;

-- remove_increments --
-- What an earlier copy has left, before the newer one is written.
DELETE FROM hannun.increments i USING hannun.events e
 WHERE e.event_no = i.event_no AND (%(event_ids)s::text[] IS NULL OR e.event_id = ANY(%(event_ids)s::text[]));

-- remove_corrections --
DELETE FROM hannun.corrections x USING hannun.events e
 WHERE e.event_no = x.event_no AND (%(event_ids)s::text[] IS NULL OR e.event_id = ANY(%(event_ids)s::text[]));

-- remove_totals --
DELETE FROM hannun.channel_measurements m USING hannun.events e
 WHERE e.event_no = m.event_no AND (%(event_ids)s::text[] IS NULL OR e.event_id = ANY(%(event_ids)s::text[]));

-- clear_timeline --
UPDATE public.timeline_data SET views = 0, engagement = 0, conversions = 0, updated_at = clock_timestamp()
 WHERE (%(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s::text[]))
   AND (views, engagement, conversions) <> (0, 0, 0);

-- remove_measured_minutes --
-- Minutes in which nobody participated: there is a row again where anything was measured.
DELETE FROM public.timeline_data
 WHERE (%(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s::text[])) AND participants = 0;

-- put_increments --
INSERT INTO hannun.increments (event_no, channel_no, minute, baseline, impressions, views, clicks, conversions, likes,
                               comments, shares, total_calls, completed_calls)
SELECT e.event_no, c.channel_no, r.minute, r.baseline, r.impressions, r.views, r.clicks, r.conversions, r.likes,
       r.comments, r.shares, r.total_calls, r.completed_calls
  FROM received_increments r JOIN hannun.events e USING (event_id) JOIN hannun.channels c USING (key);

-- put_corrections --
-- Corrections keep their numbers.
INSERT INTO hannun.corrections (correction_no, event_no, channel_no, corrected_at, metric, amount)
OVERRIDING SYSTEM VALUE
SELECT r.correction_no, e.event_no, c.channel_no, r.corrected_at, r.metric, r.amount
  FROM received_corrections r JOIN hannun.events e USING (event_id) JOIN hannun.channels c USING (key);

-- continue_numbers --
-- New corrections get numbers above those that were copied.
SELECT setval(pg_get_serial_sequence('hannun.corrections', 'correction_no'), greatest(max(correction_no), 1), max(correction_no) > 0)
  FROM hannun.corrections HAVING max(correction_no) > 0;

-- put_totals --
INSERT INTO hannun.channel_measurements
       (event_no, channel_no, measured_at, impressions, views, clicks, conversions, likes, comments, shares, total_calls,
        completed_calls, average_duration, falls, imported, polled_at, refused)
SELECT e.event_no, c.channel_no, r.measured_at, r.impressions, r.views, r.clicks, r.conversions, r.likes, r.comments,
       r.shares, r.total_calls, r.completed_calls, r.average_duration, r.falls, r.imported, r.polled_at, r.refused
  FROM received_totals r JOIN hannun.events e USING (event_id) JOIN hannun.channels c USING (key)
RETURNING event_no, channel_no;

-- put_timeline --
-- Views, engagement and conversions by minute, and a row for each month in which anything was measured.
WITH measured AS MATERIALIZED (
    SELECT e.event_no, r.event_id, r.minute, sum(r.views) AS views, sum(r.conversions) AS conversions,
           sum(r.likes + r.comments + r.shares + r.clicks) AS engagement
      FROM received_increments r JOIN hannun.events e USING (event_id) GROUP BY e.event_no, r.event_id, r.minute
), by_month AS (
    INSERT INTO hannun.timeline_months (event_no, month)
    SELECT DISTINCT event_no, date_trunc('month', minute)::date FROM measured ON CONFLICT (event_no, month) DO NOTHING
)
INSERT INTO public.timeline_data AS t (event_id, timestamp, views, engagement, conversions)
SELECT event_id, minute, views, engagement, conversions FROM measured
    ON CONFLICT (event_id, timestamp) DO UPDATE SET
       views = excluded.views, engagement = excluded.engagement, conversions = excluded.conversions,
       updated_at = clock_timestamp();

-- owe_roll_up --
-- The roll-up is pending from the first minute in which anything was measured.
UPDATE hannun.events e SET cumulative_owed_from = least(e.cumulative_owed_from, first.minute)
  FROM (SELECT event_id, min(minute) AS minute FROM received_increments GROUP BY event_id) AS first
 WHERE e.event_id = first.event_id;

-- measured_events --
SELECT DISTINCT event_id FROM received_totals;
