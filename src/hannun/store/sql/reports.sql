-- event --
-- One event with all its channels. One statement is one snapshot. No row where the event does not exist or its creation
-- has not arrived yet. Amounts are text inside JSON, so that no digit is lost. A row of channel_stats changes with every
-- message about its channel, so its updated_at is the version of the channel.
SELECT e.event_no, s.event_id, s.event_title, s.status, s.user_id, e.unattributed, e.version,
       e.total_investment, e.expected_revenue, e.target_roi, e.baseline_revenue,
       CASE WHEN e.sales > 0 THEN e.recorded_revenue END, e.sealed_plan, e.sealed_revenue, e.starts_at, e.ends_at,
       (SELECT jsonb_agg(jsonb_build_array(
                   c.channel_name, c.channel_type, c.participants, c.impressions, c.views, c.clicks, c.conversions,
                   c.likes, c.comments, c.shares, c.total_calls, c.completed_calls, m.average_duration,
                   d.cost::text,
                   CASE WHEN d.sealed_cost IS NOT NULL THEN jsonb_build_array(d.channel_no, encode(d.sealed_cost, 'base64')) END,
                   d.state, d.expected_views,
                   (extract(epoch FROM c.updated_at) * 1000000)::bigint,
                   (extract(epoch FROM m.measured_at) * 1000000)::bigint,
                   (extract(epoch FROM hannun.stale_at(m.measured_at, m.imported, %(stale_after)s, e.status,
                                                       e.status_at, e.ends_at)) * 1000000)::bigint,
                   m.impressions IS NOT NULL, m.views IS NOT NULL, m.clicks IS NOT NULL, m.conversions IS NOT NULL,
                   m.likes IS NOT NULL, m.comments IS NOT NULL, m.shares IS NOT NULL, m.total_calls IS NOT NULL,
                   m.completed_calls IS NOT NULL)
               ORDER BY c.participants DESC, c.channel_name)
          FROM public.channel_stats c
          LEFT JOIN hannun.channels n ON n.name = c.channel_name
          LEFT JOIN hannun.distributions d ON d.event_no = e.event_no AND d.channel_no = n.channel_no
          LEFT JOIN hannun.channel_measurements m ON m.event_no = e.event_no AND m.channel_no = n.channel_no
         WHERE c.event_id = s.event_id)
  FROM public.event_stats s JOIN hannun.events e USING (event_id)
 WHERE s.event_id = %(event_id)s;

-- event_history --
-- What happened to an event: its first minute in attached months (see timeline_head), when its status and its plan were said, until
-- when it ran, its newest distributions, and the newest outages of their channels between its start and its end. A status
-- that came with the plan says that the event is over, and not when it ended: the planned end does.
SELECT f.first, e.status_at, e.plan_at, r.until,
       (SELECT jsonb_agg(jsonb_build_array(name, state, (extract(epoch FROM completed_at) * 1000000)::bigint))
          FROM (SELECT n.name, d.state, d.completed_at
                  FROM hannun.distributions d JOIN hannun.channels n USING (channel_no)
                 WHERE d.event_no = e.event_no ORDER BY d.completed_at DESC LIMIT %(marks_max)s) newest),
       (SELECT jsonb_agg(jsonb_build_array(name, (extract(epoch FROM began_at) * 1000000)::bigint,
                                           (extract(epoch FROM ended_at) * 1000000)::bigint, reason))
          FROM (SELECT n.name, o.began_at, o.ended_at, o.reason
                  FROM hannun.distributions d JOIN hannun.channels n USING (channel_no)
                  JOIN hannun.channel_outages o ON o.channel = n.key
                 WHERE d.event_no = e.event_no
                   AND (o.ended_at IS NULL OR o.ended_at > coalesce(least(e.starts_at, f.first), e.plan_at))
                   AND (r.until IS NULL OR o.began_at < r.until)
                 ORDER BY o.began_at DESC LIMIT %(marks_max)s) newest)
  FROM hannun.events e
 CROSS JOIN (SELECT (SELECT timestamp FROM public.timeline_data WHERE event_id >= %(event_id)s AND event_id <= %(event_id)s
                      ORDER BY event_id, timestamp LIMIT 1) AS first) f
 CROSS JOIN LATERAL (
    SELECT CASE WHEN e.status <> 'ACTIVE' THEN greatest(
               e.status_at, CASE WHEN e.status_at = e.plan_at THEN e.ends_at END,
               (SELECT timestamp FROM public.timeline_data
                 WHERE event_id >= %(event_id)s AND event_id <= %(event_id)s AND participants > 0
                 ORDER BY event_id DESC, timestamp DESC LIMIT 1)) END AS until) r
 WHERE e.event_id = %(event_id)s;

-- period --
-- What happened within [starts, until), and within [since, before_until), which lies before it, by channel. Participants
-- come from the ledger, measured counts from the recorded increments. A channel without a known type has no name here: its participants
-- are unattributed. The ledger stores minutes since 1970.
WITH participated AS (
    SELECT event_no, channel_no, minute >= %(starts_minute)s AS within, count(*) AS participants
      FROM hannun.arrivals
     WHERE event_no = ANY(%(event_nos)s::int[]) AND minute >= %(since_minute)s AND minute < %(until_minute)s
       AND (minute >= %(starts_minute)s OR minute < %(before_until_minute)s)
     GROUP BY 1, 2, 3
), measured AS (
    SELECT event_no, channel_no, minute >= %(starts)s AS within, sum(impressions) AS impressions, sum(views) AS views,
           sum(clicks) AS clicks, sum(conversions) AS conversions, sum(likes) AS likes, sum(comments) AS comments,
           sum(shares) AS shares, sum(total_calls) AS total_calls, sum(completed_calls) AS completed_calls
      FROM hannun.increments
     WHERE event_no = ANY(%(event_nos)s::int[]) AND minute >= %(since)s AND minute < %(until)s
       AND (minute >= %(starts)s OR minute < %(before_until)s)
     GROUP BY 1, 2, 3
), typed AS (
    SELECT happened.*, n.name, coalesce(n.channel_type, d.channel_type) AS type
      FROM (participated FULL JOIN measured USING (event_no, channel_no, within)) happened
      LEFT JOIN hannun.channels n USING (channel_no)
      LEFT JOIN hannun.distributions d USING (event_no, channel_no)
)
SELECT within, CASE WHEN type IS NOT NULL THEN name END, type, coalesce(sum(participants), 0)::bigint,
       coalesce(sum(impressions), 0)::bigint, coalesce(sum(views), 0)::bigint, coalesce(sum(clicks), 0)::bigint,
       coalesce(sum(conversions), 0)::bigint, coalesce(sum(likes), 0)::bigint, coalesce(sum(comments), 0)::bigint,
       coalesce(sum(shares), 0)::bigint, coalesce(sum(total_calls), 0)::bigint,
       coalesce(sum(completed_calls), 0)::bigint
  FROM typed GROUP BY 1, 2, 3;

-- event_and_period --
-- One event as in `event`, then [within, name, type, counts] of each row of `period`, and [month, participants] of its detached
-- months. Each mark stands for the statement of that name, about the event of `figures`.
WITH figures AS MATERIALIZED (/* event */)
SELECT figures.*,
       (SELECT jsonb_agg(jsonb_build_array(within, name, type, participants, impressions, views, clicks, conversions, likes,
                                           comments, shares, total_calls, completed_calls))
          FROM (/* period */) happened (within, name, type, participants, impressions, views, clicks, conversions, likes,
                                        comments, shares, total_calls, completed_calls)),
       (SELECT jsonb_agg(jsonb_build_array(month, participants) ORDER BY month)
          FROM (/* detached_months */) detached (month, participants))
  FROM figures;

-- event_with_history --
-- One event as in `event`, its history as in `event_history`, and [month, participants] of its detached months. Marks as above.
WITH figures AS MATERIALIZED (/* event */), history AS MATERIALIZED (/* event_history */)
SELECT figures.*, history.*,
       (SELECT jsonb_agg(jsonb_build_array(month, participants) ORDER BY month)
          FROM (/* detached_months */) detached (month, participants))
  FROM figures CROSS JOIN history;

-- user_events --
-- A page of a merchant's events, newest `createdAt` first (`plan_at`, that of the newest event-created message), with the participants of the last 24 clock hours. Under a range an event's
-- participants and views are those of the range.
WITH page AS MATERIALIZED (
    SELECT s.id, s.event_id, s.event_title, s.status, s.total_participants, s.total_views, e.target_roi,
           e.plan_at, e.event_no, e.version, e.total_investment, e.expected_revenue, e.baseline_revenue,
           CASE WHEN e.sales > 0 THEN e.recorded_revenue END AS recorded, e.amounts_sealed, e.sealed_plan, e.sealed_revenue,
           e.starts_at, e.ends_at, e.status_at,
           date_bin('15 minutes', e.cumulative_owed_from, '2000-01-01') AS watermark
      FROM public.event_stats s JOIN hannun.events e USING (event_id)
     WHERE s.user_id = %(user_id)s AND e.event_no = ANY(%(event_nos)s::int[])
       AND (%(before)s::bigint IS NULL OR (e.plan_at, s.id) < (%(before_at)s::timestamp, %(before)s::bigint))
     ORDER BY e.plan_at DESC, s.id DESC LIMIT %(limit)s
), spans AS MATERIALIZED (
    SELECT * FROM hannun.timeline_spans(%(hour)s::timestamp - interval '23 hours', %(hour)s::timestamp + interval '1 hour')
), hours AS (
    SELECT event_no, date_bin('1 hour', at, %(hour)s::timestamp) AS hour, sum(participants) AS participants
      FROM (SELECT p.event_no, q.quarter, q.participants
              FROM spans s CROSS JOIN page p CROSS JOIN LATERAL (
                   SELECT quarter, participants FROM hannun.timeline_quarters q
                    WHERE q.event_no = p.event_no AND q.quarter >= s.begins AND q.quarter < least(s.ends, p.watermark)
                   OFFSET 0) q
             UNION ALL
            SELECT p.event_no, t.timestamp, t.participants
              FROM page p CROSS JOIN LATERAL (
                   SELECT timestamp, participants FROM public.timeline_data t
                    WHERE t.event_id = p.event_id AND t.timestamp >= p.watermark
                      AND t.timestamp >= %(hour)s::timestamp - interval '23 hours'
                      AND t.timestamp < %(hour)s::timestamp + interval '1 hour'
                   OFFSET 0) t) AS happened (event_no, at, participants)
     GROUP BY 1, 2
)
SELECT p.id, p.plan_at, p.event_id, p.event_title, p.status,
       CASE WHEN %(ranged)s THEN (SELECT count(*) FROM hannun.arrivals c
                                   WHERE c.event_no = p.event_no AND c.minute >= %(since_minute)s
                                     AND c.minute < %(until_minute)s)
            ELSE p.total_participants END,
       CASE WHEN %(ranged)s THEN (SELECT coalesce(sum(i.views), 0) FROM hannun.increments i
                                   WHERE i.event_no = p.event_no AND i.minute >= %(since)s AND i.minute < %(until)s)
            ELSE p.total_views END,
       p.target_roi, p.version, p.total_investment, p.expected_revenue, p.baseline_revenue, p.recorded, p.sealed_plan,
       p.sealed_revenue, p.starts_at, p.ends_at,
       (SELECT sum(cost) FROM hannun.distributions d WHERE d.event_no = p.event_no),
       CASE WHEN p.amounts_sealed THEN (SELECT jsonb_agg(jsonb_build_array(channel_no, encode(sealed_cost, 'base64')))
                                          FROM hannun.distributions d WHERE d.event_no = p.event_no) END,
       (SELECT jsonb_object_agg((extract(epoch FROM %(hour)s::timestamp - hour) / 3600)::int, participants)
          FROM hours h WHERE h.event_no = p.event_no),
       (SELECT array_agg(m.month::timestamp) FROM hannun.timeline_months m
         WHERE m.event_no = p.event_no AND m.month >= date_trunc('month', %(hour)s::timestamp - interval '23 hours')
           AND m.month <= %(hour)s::timestamp
           AND NOT EXISTS (SELECT FROM spans WHERE spans.begins < m.month + interval '1 month' AND spans.ends > m.month)),
       seen.measured_at, seen.stale_at
  FROM page p CROSS JOIN LATERAL (
       SELECT min(m.measured_at) AS measured_at,
              min(hannun.stale_at(m.measured_at, m.imported, %(stale_after)s, p.status, p.status_at, p.ends_at)) AS stale_at
         FROM hannun.channel_measurements m WHERE m.event_no = p.event_no AND m.views IS NOT NULL) seen
 ORDER BY p.plan_at DESC, p.id DESC;

-- participants_of_days --
-- The participants of events within [today, today_until) and within [yesterday, yesterday_until), which lies before it. Both days
-- begin at a bucket of the 15-minute roll-up, which is read up to each event's watermark and while its month is attached; the
-- minutes from rollup_until to yesterday_until and those after the watermark are read as minutes. A day is null where the
-- event has participants in a month of it that is not attached.
WITH chosen AS MATERIALIZED (
    SELECT event_no, event_id, date_bin('15 minutes', cumulative_owed_from, '2000-01-01') AS watermark
      FROM hannun.events WHERE event_id = ANY(%(event_ids)s::text[])
), spans AS MATERIALIZED (
    SELECT * FROM hannun.timeline_spans(%(yesterday)s, %(today_until)s)
), happened AS (
    SELECT c.event_no, q.*
      FROM spans s CROSS JOIN chosen c CROSS JOIN LATERAL (
           SELECT quarter AS at, participants FROM hannun.timeline_quarters q
            WHERE q.event_no = c.event_no AND q.quarter >= s.begins AND q.quarter < least(s.ends, c.watermark)
              AND (q.quarter < %(rollup_until)s OR q.quarter >= %(today)s) OFFSET 0) q
     UNION ALL
    SELECT c.event_no, t.*
      FROM chosen c CROSS JOIN LATERAL (
           SELECT timestamp, participants FROM public.timeline_data t
            WHERE t.event_id = c.event_id AND t.timestamp >= %(rollup_until)s AND t.timestamp < %(yesterday_until)s OFFSET 0) t
     UNION ALL
    SELECT c.event_no, t.*
      FROM chosen c CROSS JOIN LATERAL (
           SELECT timestamp, participants FROM public.timeline_data t
            WHERE t.event_id = c.event_id AND t.timestamp >= %(yesterday)s AND t.timestamp < %(today_until)s
              AND t.timestamp >= c.watermark
              AND (t.timestamp < %(rollup_until)s OR t.timestamp >= %(today)s) OFFSET 0) t
), counted AS (
    SELECT event_no, sum(participants) FILTER (WHERE at >= %(today)s) AS today,
           sum(participants) FILTER (WHERE at < %(today)s) AS yesterday
      FROM happened GROUP BY 1
), detached AS (
    SELECT event_no, bool_or(m.month + interval '1 month' > %(today)s) AS today,
           bool_or(m.month < %(yesterday_until)s) AS yesterday
      FROM chosen JOIN hannun.timeline_months m USING (event_no)
     WHERE m.month >= date_trunc('month', %(yesterday)s::timestamp) AND m.month < %(today_until)s
       AND NOT EXISTS (SELECT FROM spans WHERE spans.begins < m.month + interval '1 month' AND spans.ends > m.month)
     GROUP BY 1
)
SELECT c.event_id, CASE WHEN d.today IS NOT TRUE THEN coalesce(n.today, 0)::bigint END,
       CASE WHEN d.yesterday IS NOT TRUE THEN coalesce(n.yesterday, 0)::bigint END
  FROM chosen c LEFT JOIN counted n USING (event_no) LEFT JOIN detached d USING (event_no);

-- first_participants --
-- The first minute of [since, until) in which any of these events has participants.
SELECT min(t.timestamp)
  FROM unnest(%(event_ids)s::text[]) AS chosen (event_id) CROSS JOIN LATERAL (
       SELECT timestamp FROM public.timeline_data t
        WHERE t.event_id = chosen.event_id AND t.timestamp >= %(since)s AND t.timestamp < %(until)s AND t.participants > 0
        ORDER BY timestamp LIMIT 1) t;

-- known_channel_keys --
-- Those of these keys that a channel has which an event, or any event of a merchant, names.
SELECT n.key FROM hannun.channels n
 WHERE n.key = ANY(%(keys)s::text[]) AND EXISTS (
       SELECT FROM hannun.events e
        WHERE (e.event_id = %(event_id)s OR e.user_id = %(user_id)s)
          AND (EXISTS (SELECT FROM public.channel_stats c WHERE c.event_id = e.event_id AND c.channel_name = n.name)
               OR EXISTS (SELECT FROM hannun.distributions d WHERE d.event_no = e.event_no AND d.channel_no = n.channel_no)
               OR EXISTS (SELECT FROM hannun.untyped_participants u
                           WHERE u.event_no = e.event_no AND u.channel_no = n.channel_no)));

-- user_totals --
-- The events of a merchant that a filter leaves, together. The version is that of all events, filtered or not: it must not
-- fall when an event leaves the filter. It is the sum of the events' versions, which rises with every commit. Their maximum
-- would not, because the older of two changes may be committed last. A sum of many microseconds does not fit a bigint, so
-- it is a numeric.
WITH mine AS MATERIALIZED (
    SELECT * FROM hannun.events WHERE user_id = %(user_id)s
), counted AS MATERIALIZED (
    SELECT * FROM mine e
     WHERE CASE WHEN %(status)s::text IS NULL THEN status <> 'ARCHIVED' ELSE status = %(status)s END
       AND (%(text)s::text IS NULL OR position(lower(normalize(%(text)s)) IN lower(normalize(title))) > 0)
       AND (%(channel_keys)s::text[] IS NULL
            OR EXISTS (SELECT FROM public.channel_stats c JOIN hannun.channels n ON n.name = c.channel_name
                        WHERE c.event_id = e.event_id AND n.key = ANY(%(channel_keys)s::text[])))
)
SELECT coalesce((SELECT array_agg(event_no) FROM counted), '{}'),
       coalesce((SELECT array_agg(event_id::text) FROM counted), '{}'),
       (SELECT coalesce(sum(version), 0) FROM mine), (SELECT coalesce(max(version), 0) FROM mine),
       coalesce(sum(e.unattributed), 0)::bigint, bool_or(e.amounts_sealed), sum(e.total_investment),
       (SELECT sum(d.cost) FROM counted CROSS JOIN LATERAL (
               SELECT cost FROM hannun.distributions WHERE event_no = counted.event_no OFFSET 0) d),
       sum(e.expected_revenue),
       sum(e.recorded_revenue) FILTER (WHERE e.sales > 0 AND NOT e.amounts_sealed),
       sum(e.expected_revenue) FILTER (WHERE e.sales = 0),
       sum(e.recorded_revenue) FILTER (WHERE e.sales > 0 AND e.baseline_revenue IS NOT NULL),
       sum(e.baseline_revenue) FILTER (WHERE e.sales > 0 AND e.baseline_revenue IS NOT NULL),
       (SELECT jsonb_agg(jsonb_build_array(type, participants, impressions, views, clicks, conversions, likes, comments,
                                           shares, total_calls, completed_calls))
          FROM (SELECT c.channel_type AS type, sum(c.participants) AS participants,
                       sum(c.impressions) AS impressions, sum(c.views) AS views,
                       sum(c.clicks) AS clicks, sum(c.conversions) AS conversions, sum(c.likes) AS likes,
                       sum(c.comments) AS comments, sum(c.shares) AS shares, sum(c.total_calls) AS total_calls,
                       sum(c.completed_calls) AS completed_calls
                  -- OFFSET 0 makes PostgreSQL read event by event: the planner overestimates the rows of an event
                  FROM counted CROSS JOIN LATERAL (SELECT * FROM public.channel_stats s
                                                    WHERE s.event_id = counted.event_id OFFSET 0) c
                 GROUP BY c.channel_type) types)
  FROM counted e;

-- sealed_money --
-- The sealed amounts of those of these events that have them. `recorded` says whether a sale is recorded.
SELECT e.event_id, e.sales > 0 AS recorded, e.sealed_plan, e.sealed_revenue,
       (SELECT jsonb_agg(jsonb_build_array(channel_no, encode(sealed_cost, 'base64')))
          FROM hannun.distributions d WHERE d.event_no = e.event_no)
  FROM hannun.events e WHERE e.event_no = ANY(%(event_nos)s::int[]) AND e.amounts_sealed;

-- measured_counts --
-- When the counts of these events' channels were measured, and from when on they are stale: the earliest of each count, by channel
-- name and type.
SELECT n.name, coalesce(n.channel_type, (SELECT channel_type FROM hannun.distributions
                                          WHERE event_no = e.event_no AND channel_no = n.channel_no)),
       ARRAY[min(measured_at) FILTER (WHERE impressions IS NOT NULL),
             min(measured_at) FILTER (WHERE views IS NOT NULL),
             min(measured_at) FILTER (WHERE clicks IS NOT NULL),
             min(measured_at) FILTER (WHERE conversions IS NOT NULL),
             min(measured_at) FILTER (WHERE likes IS NOT NULL),
             min(measured_at) FILTER (WHERE comments IS NOT NULL),
             min(measured_at) FILTER (WHERE shares IS NOT NULL),
             min(measured_at) FILTER (WHERE total_calls IS NOT NULL),
             min(measured_at) FILTER (WHERE completed_calls IS NOT NULL)],
       ARRAY[min(stale_at) FILTER (WHERE impressions IS NOT NULL),
             min(stale_at) FILTER (WHERE views IS NOT NULL),
             min(stale_at) FILTER (WHERE clicks IS NOT NULL),
             min(stale_at) FILTER (WHERE conversions IS NOT NULL),
             min(stale_at) FILTER (WHERE likes IS NOT NULL),
             min(stale_at) FILTER (WHERE comments IS NOT NULL),
             min(stale_at) FILTER (WHERE shares IS NOT NULL),
             min(stale_at) FILTER (WHERE total_calls IS NOT NULL),
             min(stale_at) FILTER (WHERE completed_calls IS NOT NULL)]
  FROM hannun.events e
 CROSS JOIN LATERAL (SELECT *, hannun.stale_at(measured_at, imported, %(stale_after)s, e.status, e.status_at, e.ends_at) AS stale_at
                       FROM hannun.channel_measurements
                      WHERE event_no = e.event_no AND measured_at IS NOT NULL OFFSET 0) m
  JOIN hannun.channels n USING (channel_no)
 WHERE e.event_no = ANY(%(event_nos)s::int[])
 GROUP BY 1, 2;

-- user_channels --
-- The channels of events together, by name and type. The state is the best one: with any SUCCESS it is SUCCESS.
SELECT c.channel_name, c.channel_type, sum(c.participants)::bigint, sum(c.impressions)::bigint, sum(c.views)::bigint,
       sum(c.clicks)::bigint, sum(c.conversions)::bigint, sum(c.likes)::bigint, sum(c.comments)::bigint,
       sum(c.shares)::bigint, sum(c.total_calls)::bigint, sum(c.completed_calls)::bigint, sum(d.cost),
       bool_or(d.sealed_cost IS NOT NULL), max(d.state), sum(d.expected_views)::bigint,
       max((extract(epoch FROM c.updated_at) * 1000000)::bigint)
  FROM hannun.events e
 CROSS JOIN LATERAL (SELECT * FROM public.channel_stats s WHERE s.event_id = e.event_id OFFSET 0) c
  LEFT JOIN hannun.channels n ON n.name = c.channel_name
  LEFT JOIN hannun.distributions d ON d.event_no = e.event_no AND d.channel_no = n.channel_no
 WHERE e.event_no = ANY(%(event_nos)s::int[])
 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2;

-- sealed_costs --
-- The sealed costs of events' channels, by the name and type of the channel.
SELECT c.channel_name, c.channel_type, e.event_id, d.channel_no, d.sealed_cost
  FROM hannun.distributions d JOIN hannun.events e USING (event_no) JOIN hannun.channels n USING (channel_no)
  JOIN public.channel_stats c ON c.event_id = e.event_id AND c.channel_name = n.name
 WHERE d.event_no = ANY(%(event_nos)s::int[]) AND d.sealed_cost IS NOT NULL;

-- timeline_head --
-- The owner and the extent of an event's timeline. The condition "event_id between x and x" allows only the index on
-- (event_id, timestamp). With "=" the planner may scan the index on timestamp, where millions of rows of other events can
-- stand before the first row of this one.
SELECT e.user_id, e.version, e.participants, e.event_no,
       (SELECT timestamp FROM public.timeline_data WHERE event_id >= %(event_id)s AND event_id <= %(event_id)s
         ORDER BY event_id, timestamp LIMIT 1),
       (SELECT timestamp FROM public.timeline_data WHERE event_id >= %(event_id)s AND event_id <= %(event_id)s
         ORDER BY event_id DESC, timestamp DESC LIMIT 1),
       e.starts_at, least(e.ends_at, CASE WHEN e.status <> 'ACTIVE' THEN e.status_at END)
  FROM hannun.events e WHERE e.event_id = %(event_id)s AND e.user_id IS NOT NULL;

-- timeline_ends --
-- The first and last minute in which anything happened in these events; the earliest planned start, and the last end if all
-- have one.
SELECT min(ends.first), max(ends.last),
       min(e.starts_at), CASE WHEN bool_and(ended.at IS NOT NULL) THEN max(ended.at) END
  FROM unnest(%(event_ids)s::text[]) AS chosen (event_id)
  JOIN hannun.events e USING (event_id)
 CROSS JOIN LATERAL (SELECT least(e.ends_at, CASE WHEN e.status <> 'ACTIVE' THEN e.status_at END)) AS ended (at)
 CROSS JOIN LATERAL (
       SELECT (SELECT timestamp FROM public.timeline_data t WHERE t.event_id >= chosen.event_id AND t.event_id <= chosen.event_id
                ORDER BY t.event_id, timestamp LIMIT 1),
              (SELECT timestamp FROM public.timeline_data t WHERE t.event_id >= chosen.event_id AND t.event_id <= chosen.event_id
                ORDER BY t.event_id DESC, timestamp DESC LIMIT 1)
       ) AS ends (first, last);

-- timeline_filled --
-- The buckets that are not empty within [from, to), by index from 0. Within [rollup_from, rollup_to) the 15-minute roll-up
-- is read, up to each event's roll-up watermark and while its month is attached; everything else is read from minutes.
-- Minutes are first added up by `step_s`, because finding a step is cheaper than finding a bucket. The bounds stand in the
-- statement, not in a sub-query, so that PostgreSQL prunes the months outside them. OFFSET 0 makes it read event by event,
-- each by its index.
WITH chosen AS MATERIALIZED (
    SELECT event_no, event_id, date_bin('15 minutes', cumulative_owed_from, '2000-01-01') AS watermark
      FROM hannun.events WHERE event_no = ANY(%(event_nos)s::int[])
), happened AS (
    SELECT q.* FROM hannun.timeline_spans(%(rollup_from)s, %(rollup_to)s) s CROSS JOIN chosen CROSS JOIN LATERAL (
           SELECT quarter, participants, views, engagement, conversions FROM hannun.timeline_quarters q
            WHERE q.event_no = chosen.event_no AND q.quarter >= s.begins
              AND q.quarter < least(s.ends, chosen.watermark) OFFSET 0) q
     UNION ALL
    SELECT t.* FROM chosen CROSS JOIN LATERAL (
           SELECT timestamp, participants, views, engagement, conversions FROM public.timeline_data t
            WHERE t.event_id = chosen.event_id AND t.timestamp >= %(from)s AND t.timestamp < %(rollup_from)s OFFSET 0) t
     UNION ALL
    SELECT date_bin(%(step_s)s * interval '1 second', t.timestamp, %(first)s), sum(t.participants), sum(t.views),
           sum(t.engagement), sum(t.conversions)
      FROM chosen CROSS JOIN LATERAL (
           SELECT timestamp, participants, views, engagement, conversions FROM public.timeline_data t
            WHERE t.event_id = chosen.event_id AND t.timestamp >= %(rollup_from)s AND t.timestamp < %(to)s
              AND t.timestamp >= least(chosen.watermark, %(rollup_to)s) OFFSET 0) t
     GROUP BY 1
)
SELECT width_bucket(at, ARRAY(SELECT to_timestamp(starts) AT TIME ZONE 'UTC' FROM unnest(%(starts)s::bigint[]) AS starts
                               ORDER BY starts)) - 1,
       sum(participants)::bigint, sum(views)::bigint, sum(engagement)::bigint, sum(conversions)::bigint
  FROM happened AS happened (at, participants, views, engagement, conversions) GROUP BY 1;

-- event_timeline --
-- One event's timeline of a range, in one statement: what timeline_head, measured_counts (of all channels together), detached_months,
-- timeline_filled and timeline_after find. It reads no month that is not attached, unless the range has such a month: then the
-- caller must read by those statements. Buckets come as [index, participants, views, engagement, conversions].
WITH head AS MATERIALIZED (
    SELECT e.event_no, e.event_id, e.user_id, e.version, e.participants, e.starts_at, e.ends_at, e.status, e.status_at,
           date_bin('15 minutes', e.cumulative_owed_from, '2000-01-01') AS watermark,
           (SELECT timestamp FROM public.timeline_data WHERE event_id >= %(event_id)s AND event_id <= %(event_id)s
             ORDER BY event_id, timestamp LIMIT 1) AS first,
           (SELECT timestamp FROM public.timeline_data WHERE event_id >= %(event_id)s AND event_id <= %(event_id)s
             ORDER BY event_id DESC, timestamp DESC LIMIT 1) AS last
      FROM hannun.events e WHERE e.event_id = %(event_id)s AND e.user_id IS NOT NULL
), happened AS (
    SELECT q.* FROM head CROSS JOIN LATERAL (
           SELECT quarter, participants, views, engagement, conversions FROM hannun.timeline_quarters q
            WHERE q.event_no = head.event_no AND q.quarter >= %(rollup_from)s
              AND q.quarter < least(%(rollup_to)s, head.watermark) OFFSET 0) q
     UNION ALL
    SELECT t.* FROM head CROSS JOIN LATERAL (
           SELECT timestamp, participants, views, engagement, conversions FROM public.timeline_data t
            WHERE t.event_id = head.event_id AND t.timestamp >= %(from)s AND t.timestamp < %(rollup_from)s OFFSET 0) t
     UNION ALL
    SELECT t.* FROM head CROSS JOIN LATERAL (
           SELECT timestamp, participants, views, engagement, conversions FROM public.timeline_data t
            WHERE t.event_id = head.event_id AND t.timestamp >= %(rollup_from)s AND t.timestamp < %(to)s
              AND t.timestamp >= least(head.watermark, %(rollup_to)s) OFFSET 0) t
), filled (bucket, participants, views, engagement, conversions) AS (
    SELECT width_bucket(at, ARRAY(SELECT to_timestamp(starts) AT TIME ZONE 'UTC' FROM unnest(%(starts)s::bigint[]) AS starts
                                   ORDER BY starts)) - 1,
           sum(participants)::bigint, sum(views)::bigint, sum(engagement)::bigint, sum(conversions)::bigint
      FROM happened AS happened (at, participants, views, engagement, conversions) GROUP BY 1
)
SELECT (SELECT jsonb_agg(jsonb_build_array(bucket, participants, views, engagement, conversions)) FROM filled),
       CASE WHEN h.last < %(to)s THEN 0 ELSE (SELECT coalesce(sum(participants), 0)::bigint FROM (
            SELECT q.participants FROM hannun.timeline_quarters q
             WHERE q.event_no = h.event_no AND q.quarter >= %(after_rollup_from)s AND q.quarter < h.watermark
             UNION ALL
            SELECT t.participants FROM public.timeline_data t
             WHERE t.event_id = h.event_id AND t.timestamp >= %(to)s AND t.timestamp < %(after_rollup_from)s
             UNION ALL
            SELECT t.participants FROM public.timeline_data t
             WHERE t.event_id = h.event_id AND t.timestamp >= %(after_rollup_from)s AND t.timestamp >= h.watermark) later) END,
       (SELECT jsonb_agg(jsonb_build_array(month, participants) ORDER BY month) FROM hannun.timeline_months m
         WHERE m.event_no = h.event_no
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
                            WHERE c.relname = 'timeline_data_' || to_char(m.month::timestamp, 'YYYY_MM')
                              AND c.relnamespace = 'public'::regnamespace
                              AND i.inhparent = 'public.timeline_data'::regclass AND NOT i.inhdetachpending)),
       measured.as_of, measured.stale_at,
       h.user_id, h.version, h.participants, h.event_no, h.first, h.last, h.starts_at,
       least(h.ends_at, CASE WHEN h.status <> 'ACTIVE' THEN h.status_at END)
  FROM head h CROSS JOIN LATERAL (
       SELECT ARRAY[min(measured_at) FILTER (WHERE impressions IS NOT NULL),
                    min(measured_at) FILTER (WHERE views IS NOT NULL),
                    min(measured_at) FILTER (WHERE clicks IS NOT NULL),
                    min(measured_at) FILTER (WHERE conversions IS NOT NULL),
                    min(measured_at) FILTER (WHERE likes IS NOT NULL),
                    min(measured_at) FILTER (WHERE comments IS NOT NULL),
                    min(measured_at) FILTER (WHERE shares IS NOT NULL),
                    min(measured_at) FILTER (WHERE total_calls IS NOT NULL),
                    min(measured_at) FILTER (WHERE completed_calls IS NOT NULL)],
              ARRAY[min(stale_at) FILTER (WHERE impressions IS NOT NULL),
                    min(stale_at) FILTER (WHERE views IS NOT NULL),
                    min(stale_at) FILTER (WHERE clicks IS NOT NULL),
                    min(stale_at) FILTER (WHERE conversions IS NOT NULL),
                    min(stale_at) FILTER (WHERE likes IS NOT NULL),
                    min(stale_at) FILTER (WHERE comments IS NOT NULL),
                    min(stale_at) FILTER (WHERE shares IS NOT NULL),
                    min(stale_at) FILTER (WHERE total_calls IS NOT NULL),
                    min(stale_at) FILTER (WHERE completed_calls IS NOT NULL)]
         FROM (SELECT m.*, hannun.stale_at(m.measured_at, m.imported, %(stale_after)s, h.status, h.status_at, h.ends_at) AS stale_at
                 FROM hannun.channel_measurements m
                WHERE m.event_no = h.event_no AND m.measured_at IS NOT NULL OFFSET 0) m) measured (as_of, stale_at);

-- participants_within --
-- The participants of one event within each of some ranges, in the order of the ranges: from the roll-up between rollup_starts and
-- rollup_ends, up to its watermark, and from minutes elsewhere. It reads no month that is not attached, and no range may have one.
SELECT (SELECT coalesce(sum(participants), 0)::bigint FROM (
            SELECT participants FROM hannun.timeline_quarters q
             WHERE q.event_no = e.event_no AND q.quarter >= r.rollup_starts AND q.quarter < least(r.rollup_ends, e.watermark)
             UNION ALL
            SELECT participants FROM public.timeline_data t
             WHERE t.event_id = e.event_id AND t.timestamp >= r.starts AND t.timestamp < r.rollup_starts
             UNION ALL
            SELECT participants FROM public.timeline_data t
             WHERE t.event_id = e.event_id AND t.timestamp >= r.rollup_starts AND t.timestamp < r.ends
               AND t.timestamp >= least(e.watermark, r.rollup_ends)) participated)
  FROM (SELECT event_no, event_id, date_bin('15 minutes', cumulative_owed_from, '2000-01-01') AS watermark
          FROM hannun.events WHERE event_no = %(event_no)s) e
 CROSS JOIN unnest(%(starts)s::timestamp[], %(ends)s::timestamp[], %(rollup_starts)s::timestamp[], %(rollup_ends)s::timestamp[])
            WITH ORDINALITY AS r (starts, ends, rollup_starts, rollup_ends, no)
 ORDER BY r.no;

-- timeline_after --
-- The participants from a minute on, in attached months: from minutes up to the first bucket of the roll-up, from the roll-up to its watermark
-- and while its month is attached, from minutes after that.
WITH chosen AS MATERIALIZED (
    SELECT event_no, event_id, date_bin('15 minutes', cumulative_owed_from, '2000-01-01') AS watermark
      FROM hannun.events WHERE event_no = ANY(%(event_nos)s::int[])
)
SELECT coalesce(sum(participants), 0)::bigint FROM (
    SELECT q.participants FROM hannun.timeline_spans(%(rollup_from)s, '9999-01-01') s CROSS JOIN chosen CROSS JOIN LATERAL (
           SELECT participants FROM hannun.timeline_quarters q
            WHERE q.event_no = chosen.event_no AND q.quarter >= s.begins
              AND q.quarter < least(s.ends, chosen.watermark) OFFSET 0) q
     UNION ALL
    SELECT t.participants FROM chosen CROSS JOIN LATERAL (
           SELECT participants FROM public.timeline_data t
            WHERE t.event_id = chosen.event_id AND t.timestamp >= %(to)s AND t.timestamp < %(rollup_from)s OFFSET 0) t
     UNION ALL
    SELECT t.participants FROM chosen CROSS JOIN LATERAL (
           SELECT participants FROM public.timeline_data t
            WHERE t.event_id = chosen.event_id AND t.timestamp >= %(rollup_from)s AND t.timestamp >= chosen.watermark OFFSET 0) t
) AS participated;

-- timeline_before --
-- The participants before a minute: those of earlier months, and those in its month before it. The latter come from the 15-minute
-- roll-up up to its watermark, and from minutes after that. Where that month is not attached and these events have something in
-- it, they come from the ledger; the two conditions for that are evaluated once, before the ledger is read.
WITH chosen AS MATERIALIZED (
    SELECT event_no, event_id, date_bin('15 minutes', cumulative_owed_from, '2000-01-01') AS watermark
      FROM hannun.events WHERE event_no = ANY(%(event_nos)s::int[])
)
SELECT (SELECT coalesce(sum(participants), 0)::bigint FROM hannun.timeline_months
         WHERE event_no = ANY(%(event_nos)s::int[]) AND month < %(month)s),
       (SELECT coalesce(sum(participants), 0)::bigint FROM (
            SELECT q.participants FROM hannun.timeline_spans(%(month)s, %(rollup_to)s) s CROSS JOIN chosen CROSS JOIN LATERAL (
                   SELECT participants FROM hannun.timeline_quarters q
                    WHERE q.event_no = chosen.event_no AND q.quarter >= s.begins
                      AND q.quarter < least(s.ends, chosen.watermark) OFFSET 0) q
             UNION ALL
            SELECT t.participants FROM chosen CROSS JOIN LATERAL (
                   SELECT participants FROM public.timeline_data t
                    WHERE t.event_id = chosen.event_id AND t.timestamp >= %(month)s AND t.timestamp < %(to)s
                      AND t.timestamp >= least(chosen.watermark, %(rollup_to)s) OFFSET 0) t
             UNION ALL
            SELECT count(*) FROM hannun.arrivals
             WHERE event_no = ANY(%(event_nos)s::int[])
               AND minute >= %(month_minute)s AND minute < %(to_minute)s
               AND EXISTS (SELECT FROM hannun.timeline_months
                            WHERE event_no = ANY(%(event_nos)s::int[]) AND month = %(month)s)
               AND NOT EXISTS (SELECT FROM hannun.timeline_spans(%(month)s, %(month)s + interval '1 month'))
        ) AS participated);

-- detached_months --
-- The months in which something happened in these events and which are not attached to the timeline, with the participants in
-- each. The partition of a month is found by its name.
SELECT month::timestamp, sum(participants)::bigint FROM hannun.timeline_months m
 WHERE event_no = ANY(%(event_nos)s::int[])
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
                    WHERE c.relname = 'timeline_data_' || to_char(m.month::timestamp, 'YYYY_MM')
                      AND c.relnamespace = 'public'::regnamespace
                      AND i.inhparent = 'public.timeline_data'::regclass AND NOT i.inhdetachpending)
 GROUP BY month ORDER BY month;

-- sales_by_bucket --
-- The sales in each bucket from the first one on, by index from 0; the last bucket holds all later ones. Sealed amounts come
-- as [sale_id, amount].
SELECT width_bucket(floor(extract(epoch FROM sold_at))::bigint, %(starts)s::bigint[]) - 1, coalesce(sum(amount), 0),
       jsonb_agg(jsonb_build_array(sale_id, encode(sealed_amount, 'base64'))) FILTER (WHERE sealed_amount IS NOT NULL)
  FROM hannun.sales WHERE event_no = %(event_no)s AND sold_at >= %(from)s GROUP BY 1;

-- first_minute --
-- The first minute of an event's timeline.
SELECT timestamp FROM public.timeline_data WHERE event_id >= %(event_id)s AND event_id <= %(event_id)s
 ORDER BY event_id, timestamp LIMIT 1;
