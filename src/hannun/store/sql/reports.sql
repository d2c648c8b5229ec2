-- dashboard --
-- One event with all its channels, of one moment: one statement is one snapshot. No row where the event does not
-- exist or was not created yet. Amounts travel as text inside JSON, so that no digit is lost.
SELECT s.event_id, s.event_title, s.status, s.user_id, s.total_participants, e.unattributed, e.version,
       e.total_investment, e.expected_revenue, e.target_roi, e.baseline_revenue,
       CASE WHEN e.sales > 0 THEN e.recorded_revenue END, e.starts_at, e.ends_at,
       (SELECT jsonb_agg(jsonb_build_array(
                   c.channel_name, c.channel_type, c.participants, c.impressions, c.views, c.clicks, c.conversions,
                   c.likes, c.comments, c.shares, c.total_calls, c.completed_calls, c.average_duration,
                   c.distribution_cost::text, d.state, d.expected_views, d.completed_at)
               ORDER BY c.participants DESC, c.channel_name)
          FROM public.channel_stats c
          LEFT JOIN hannun.channels n ON n.name = c.channel_name
          LEFT JOIN hannun.distributions d ON d.event_no = e.event_no AND d.channel_no = n.channel_no
         WHERE c.event_id = s.event_id)
  FROM public.event_stats s JOIN hannun.events e USING (event_id)
 WHERE s.event_id = %(event_id)s;

-- user_events --
-- A page of a merchant's events, newest first, with the participants of the last 24 hours of the clock.
WITH page AS (
    SELECT s.id, s.event_id, s.event_title, s.status, s.user_id, s.total_participants, s.total_views, s.target_roi,
           s.created_at, e.unattributed, e.version, e.total_investment, e.expected_revenue, e.baseline_revenue,
           CASE WHEN e.sales > 0 THEN e.recorded_revenue END AS recorded, e.starts_at, e.ends_at
      FROM public.event_stats s JOIN hannun.events e USING (event_id)
     WHERE s.user_id = %(user_id)s
       AND (CASE WHEN %(status)s::text IS NULL THEN s.status <> 'ARCHIVED' ELSE s.status = %(status)s END)
       AND (%(before)s::bigint IS NULL OR (s.created_at, s.id) < (%(before_at)s::timestamp, %(before)s::bigint))
     ORDER BY s.created_at DESC, s.id DESC LIMIT %(limit)s
), hours AS (
    SELECT t.event_id, (extract(epoch FROM %(hour)s::timestamp - date_trunc('hour', t.timestamp)) / 3600)::int AS ago,
           sum(t.participants) AS participants
      FROM public.timeline_data t
     WHERE t.event_id IN (SELECT event_id FROM page)
       AND t.timestamp >= %(hour)s::timestamp - interval '23 hours' AND t.timestamp < %(hour)s::timestamp + interval '1 hour'
     GROUP BY 1, 2
)
SELECT p.id, p.created_at, p.event_id, p.event_title, p.status, p.total_participants, p.total_views, p.target_roi,
       p.version, p.total_investment, p.expected_revenue, p.baseline_revenue, p.recorded, p.starts_at, p.ends_at,
       coalesce((SELECT sum(distribution_cost) FROM public.channel_stats c WHERE c.event_id = p.event_id), 0),
       (SELECT jsonb_object_agg(ago, participants) FROM hours h WHERE h.event_id = p.event_id)
  FROM page p ORDER BY p.created_at DESC, p.id DESC;

-- user_totals --
-- All of a merchant's events together.
WITH mine AS (
    SELECT e.* FROM hannun.events e WHERE e.user_id = %(user_id)s
), counted AS (
    SELECT * FROM mine WHERE CASE WHEN %(status)s::text IS NULL THEN status <> 'ARCHIVED' ELSE status = %(status)s END
)
SELECT (SELECT count(*) FROM counted), (SELECT coalesce(max(version), 0) FROM mine),
       coalesce(sum(e.participants), 0), coalesce(sum(e.unattributed), 0), coalesce(sum(e.total_investment), 0),
       coalesce(sum(e.expected_revenue), 0), sum(e.recorded_revenue) FILTER (WHERE e.sales > 0),
       coalesce(sum(e.expected_revenue) FILTER (WHERE e.sales = 0), 0),
       sum(e.recorded_revenue) FILTER (WHERE e.sales > 0 AND e.baseline_revenue IS NOT NULL),
       sum(e.baseline_revenue) FILTER (WHERE e.sales > 0 AND e.baseline_revenue IS NOT NULL),
       (SELECT jsonb_agg(jsonb_build_array(type, impressions, views, clicks, conversions, likes, comments, shares,
                                           total_calls, completed_calls, cost::text))
          FROM (SELECT c.channel_type AS type, sum(c.impressions) AS impressions, sum(c.views) AS views,
                       sum(c.clicks) AS clicks, sum(c.conversions) AS conversions, sum(c.likes) AS likes,
                       sum(c.comments) AS comments, sum(c.shares) AS shares, sum(c.total_calls) AS total_calls,
                       sum(c.completed_calls) AS completed_calls, sum(c.distribution_cost) AS cost
                  FROM public.channel_stats c WHERE c.event_id IN (SELECT event_id FROM counted)
                 GROUP BY c.channel_type) types)
  FROM counted e;

-- timeline --
-- An event's buckets within [from, to) in a zone, empty ones too, with what had come before each bucket's end.
-- `to` is open where NULL: everything so far, up to now, and what was registered ahead of it.
WITH event AS (
    SELECT e.event_id, e.user_id, e.version, e.participants FROM hannun.events e
     WHERE e.event_id = %(event_id)s AND e.user_id IS NOT NULL
), ends AS (
    SELECT coalesce(%(from)s::timestamp,
                    (SELECT min(timestamp) FROM public.timeline_data JOIN event USING (event_id)),
                    date_trunc('minute', %(now)s::timestamp)) AS starts,
           coalesce(%(to)s::timestamp,
                    greatest(date_trunc('minute', %(now)s::timestamp) + interval '1 minute',
                             (SELECT max(timestamp) + interval '1 minute' FROM public.timeline_data
                                JOIN event USING (event_id)))) AS ends
), range AS (
    SELECT starts, ends, starts AT TIME ZONE 'UTC' AS starts_tz, ends AT TIME ZONE 'UTC' AS ends_tz FROM ends
), before AS (
    -- All but those who came since: so the last point is the total, also when a month was let go.
    SELECT event.participants - coalesce((SELECT sum(t.participants) FROM public.timeline_data t
                                           WHERE t.event_id = event.event_id AND t.timestamp >= range.starts), 0)::bigint
           AS participants
      FROM event, range
), happened AS (
    SELECT date_trunc(%(unit)s, t.timestamp AT TIME ZONE 'UTC', %(tz)s) AS bucket, sum(t.participants) AS participants,
           sum(t.views) AS views, sum(t.engagement) AS engagement, sum(t.conversions) AS conversions
      FROM public.timeline_data t JOIN event USING (event_id), range
     WHERE t.timestamp >= range.starts AND t.timestamp < range.ends
     GROUP BY 1
), buckets AS (
    -- Each bucket that holds a moment; two moments a step, since a change of the clock moves where buckets begin, and
    -- stepping on from the first one would miss them. Bounded by its end and not by LIMIT: a series is made whole
    -- before it is cut.
    SELECT DISTINCT date_trunc(%(unit)s, moment, %(tz)s) AS bucket
      FROM range, date_trunc(%(unit)s, starts_tz, %(tz)s) AS first,
           least(ends_tz - interval '1 microsecond', date_add(first, %(points_max)s * %(step)s::interval, %(tz)s)) AS last,
           LATERAL (SELECT generate_series(first, last, %(step)s::interval / 2) AS moment
                    UNION ALL SELECT last WHERE first <= last) AS moments
), points AS (
    SELECT bucket, coalesce(participants, 0)::bigint AS participants, coalesce(views, 0)::bigint AS views,
           coalesce(engagement, 0)::bigint AS engagement, coalesce(conversions, 0)::bigint AS conversions
      FROM buckets LEFT JOIN happened USING (bucket)
)
SELECT event.user_id, event.version, range.starts, range.ends,
       (SELECT jsonb_agg(jsonb_build_array(
                   extract(epoch FROM p.bucket)::bigint, p.participants, p.views, p.engagement, p.conversions,
                   before.participants + running, p.complete) ORDER BY p.bucket)
          FROM (SELECT points.*, sum(points.participants) OVER (ORDER BY bucket) AS running,
                       bucket >= range.starts_tz
                       AND coalesce(lead(bucket) OVER (ORDER BY bucket), date_add(bucket, %(step)s::interval, %(tz)s))
                           <= least(range.ends_tz, %(now)s::timestamp AT TIME ZONE 'UTC') AS complete
                  FROM points) p, before)
  FROM event, range;

-- first_minute --
-- When an event's timeline begins.
SELECT min(timestamp) FROM public.timeline_data WHERE event_id = %(event_id)s;
