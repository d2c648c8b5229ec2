-- Each query is named after an aggregate table. It recomputes the table's figures from the ledgers and returns one row for
-- each figure that differs: (place, figure, found, expected). All queries run in one read-only snapshot, so they may run
-- while the service counts.

-- event_totals --
-- hannun.events: participants, unattributed, sales and revenue, from the ledgers. A revenue of sealed amounts is recomputed by
-- store/sealed_amounts.py.
WITH ledger AS (
    SELECT p.event_no, count(*) AS participants,
           count(*) FILTER (WHERE coalesce(d.channel_type, c.channel_type) IS NULL) AS unattributed
      FROM hannun.arrivals p
      LEFT JOIN hannun.channels c USING (channel_no)
      LEFT JOIN hannun.distributions d USING (event_no, channel_no)
     GROUP BY p.event_no
), sold AS (
    SELECT event_no, count(*) AS sales, sum(amount) AS revenue, bool_or(sealed_amount IS NOT NULL) AS any_sealed
      FROM hannun.sales GROUP BY event_no
), compared AS (
    SELECT coalesce(e.event_id, 'event number ' || coalesce(l.event_no, s.event_no)) AS place, figure.*
      FROM hannun.events e
      FULL JOIN ledger l USING (event_no)
      FULL JOIN sold s USING (event_no)
     CROSS JOIN LATERAL (VALUES
           ('participants', e.participants::numeric, coalesce(l.participants, 0)::numeric),
           ('unattributed', e.unattributed, coalesce(l.unattributed, 0)),
           ('sales', e.sales, coalesce(s.sales, 0)),
           ('recorded_revenue', e.recorded_revenue,
            CASE WHEN e.amounts_sealed OR s.any_sealed THEN e.recorded_revenue ELSE coalesce(s.revenue, 0) END)) AS figure (name, found, expected)
)
SELECT place, name, found::text, expected::text FROM compared WHERE found IS DISTINCT FROM expected ORDER BY 1, 2;

-- packed_participants --
-- hannun.packed_participants: each participant once, in the order by which a batch finds them, and as many as hannun.events says. Where
-- a participant is twice, or out of order, `found` is how many of them an event has.
WITH segments AS MATERIALIZED (
    SELECT event_no, first_participant, participants[cardinality(participants)] AS last_participant, cardinality(participants) AS size,
           lead(first_participant) OVER (PARTITION BY event_no ORDER BY first_participant) AS next_participant,
           (SELECT count(*) FROM generate_series(2, cardinality(participants)) AS at
             WHERE participants[at] <= participants[at - 1]) AS disordered
      FROM hannun.packed_participants
), found AS (
    SELECT event_no, sum(size) AS packed,
           sum(disordered) + count(*) FILTER (WHERE next_participant <= last_participant) AS disordered
      FROM segments GROUP BY event_no
), compared AS (
    SELECT coalesce(e.event_id, 'event number ' || f.event_no) AS place, figure.*
      FROM hannun.events e
      FULL JOIN found f USING (event_no)
     CROSS JOIN LATERAL (VALUES
           ('packed', e.packed::numeric, coalesce(f.packed, 0)),
           ('participants out of order', coalesce(f.disordered, 0), 0),
           ('participants twice', CASE WHEN f.packed > 0 THEN (
                SELECT count(*) FROM hannun.participants p
                 CROSS JOIN LATERAL (SELECT s.participants FROM hannun.packed_participants s
                                      WHERE s.event_no = p.event_no AND s.first_participant <= p.participant
                                      ORDER BY s.first_participant DESC LIMIT 1) AS segment
                 WHERE p.event_no = f.event_no AND p.participant = ANY(segment.participants)) ELSE 0 END, 0)
           ) AS figure (name, found, expected)
)
SELECT place, name, found::text, expected::text FROM compared WHERE found IS DISTINCT FROM expected ORDER BY 1, 2;

-- untyped_participants --
-- hannun.untyped_participants: participants whose channel has no type yet, from the ledger.
WITH ledger AS (
    SELECT p.event_no, p.channel_no, count(*) AS participants
      FROM hannun.arrivals p
      JOIN hannun.channels c ON c.channel_no = p.channel_no AND c.channel_type IS NULL
      LEFT JOIN hannun.distributions d ON d.event_no = p.event_no AND d.channel_no = p.channel_no
     WHERE d.event_no IS NULL
     GROUP BY p.event_no, p.channel_no
)
SELECT 'event number ' || event_no || ', channel number ' || channel_no, 'participants',
       u.participants::text, l.participants::text
  FROM hannun.untyped_participants u FULL JOIN ledger l USING (event_no, channel_no)
 WHERE u.participants IS DISTINCT FROM l.participants ORDER BY 1;

-- event_stats --
-- public.event_stats: its rows and figures, from our totals, the plan, and the channels' ledgers.
WITH channel AS (
    SELECT event_no, sum(cost) AS cost FROM hannun.distributions GROUP BY event_no
), seen AS (
    SELECT event_no, sum(views) AS views FROM (
        SELECT event_no, channel_no, views FROM hannun.increments
         UNION ALL SELECT event_no, channel_no, amount FROM hannun.corrections WHERE metric = 'views') v
      JOIN hannun.channels c USING (channel_no) LEFT JOIN hannun.distributions d USING (event_no, channel_no)
     WHERE coalesce(c.channel_type, d.channel_type) IS NOT NULL GROUP BY event_no
), expected AS (
    SELECT e.*, least(coalesce(seen.views, 0), 2147483647) AS views,
           coalesce(e.total_investment, 0) + coalesce(channel.cost, 0) AS invested
      FROM hannun.events e LEFT JOIN channel USING (event_no) LEFT JOIN seen USING (event_no)
     WHERE e.user_id IS NOT NULL
)
SELECT coalesce(s.event_id, e.event_id), figure.name, figure.found, figure.expected
  FROM public.event_stats s
  FULL JOIN expected e USING (event_id)
 CROSS JOIN LATERAL (VALUES
       ('row', (s.event_id IS NOT NULL)::text, (e.event_id IS NOT NULL)::text),
       ('event_title', s.event_title, e.title),
       ('user_id', s.user_id, e.user_id),
       ('total_participants', s.total_participants::text, e.participants::text),
       ('total_views', s.total_views::text, e.views::text),
       ('estimated_roi', s.estimated_roi::text,
        hannun.fitted(hannun.percent(e.expected_revenue - e.invested, e.invested), 0)::decimal(10, 2)::text),
       ('target_roi', s.target_roi::text, coalesce(e.target_roi, 0.00)::text),
       ('sales_growth_rate', s.sales_growth_rate::text,
        (CASE WHEN e.sales > 0 THEN hannun.fitted(hannun.percent(e.recorded_revenue - e.baseline_revenue,
                                                                 e.baseline_revenue), -99999999.99)
              ELSE 0 END)::decimal(10, 2)::text),
       ('total_investment', s.total_investment::text, coalesce(e.total_investment, 0.00)::text),
       ('expected_revenue', s.expected_revenue::text, coalesce(e.expected_revenue, 0.00)::text),
       ('status', s.status, e.status)) AS figure (name, found, expected)
 WHERE figure.found IS DISTINCT FROM figure.expected ORDER BY 1, 2;

-- channel_stats --
-- public.channel_stats: its rows and figures, from the ledger, the distributions and the measured totals.
WITH ledger AS (
    SELECT p.event_no, p.channel_no, count(*) AS participants
      FROM hannun.arrivals p GROUP BY p.event_no, p.channel_no
), expected AS (
    SELECT e.event_id, c.name AS channel_name, coalesce(c.channel_type, d.channel_type) AS channel_type,
           coalesce(l.participants, 0) AS participants, coalesce(d.cost, 0) AS cost, m.*
      FROM ledger l
      FULL JOIN hannun.distributions d USING (event_no, channel_no)
      FULL JOIN (SELECT * FROM hannun.channel_measurements WHERE measured_at IS NOT NULL) m USING (event_no, channel_no)
      JOIN hannun.events e USING (event_no)
      JOIN hannun.channels c USING (channel_no)
     WHERE coalesce(c.channel_type, d.channel_type) IS NOT NULL
)
SELECT coalesce(s.event_id, e.event_id) || ' / ' || coalesce(s.channel_name, e.channel_name),
       figure.name, figure.found, figure.expected
  FROM public.channel_stats s
  FULL JOIN expected e USING (event_id, channel_name)
 CROSS JOIN LATERAL (VALUES
       ('row', (s.event_id IS NOT NULL)::text, (e.event_id IS NOT NULL)::text),
       ('channel_type', s.channel_type, e.channel_type),
       ('participants', s.participants::text, e.participants::text),
       ('distribution_cost', s.distribution_cost::text, e.cost::decimal(15, 2)::text),
       ('impressions', s.impressions::text, coalesce(e.impressions, 0)::text),
       ('views', s.views::text, coalesce(e.views, 0)::text),
       ('clicks', s.clicks::text, coalesce(e.clicks, 0)::text),
       ('conversions', s.conversions::text, coalesce(e.conversions, 0)::text),
       ('likes', s.likes::text, coalesce(e.likes, 0)::text),
       ('comments', s.comments::text, coalesce(e.comments, 0)::text),
       ('shares', s.shares::text, coalesce(e.shares, 0)::text),
       ('total_calls', s.total_calls::text, coalesce(e.total_calls, 0)::text),
       ('completed_calls', s.completed_calls::text, coalesce(e.completed_calls, 0)::text),
       ('average_duration', s.average_duration::text, coalesce(e.average_duration, 0)::text)
       ) AS figure (name, found, expected)
 WHERE figure.found IS DISTINCT FROM figure.expected ORDER BY 1, 2;

-- channel_measurements --
-- hannun.channel_measurements: the totals that channels have measured, from the increments and the corrections. The mean is in no
-- ledger.
WITH moved AS (
    SELECT event_no, channel_no,
           sum(amount) FILTER (WHERE metric = 'impressions') AS impressions,
           sum(amount) FILTER (WHERE metric = 'views') AS views,
           sum(amount) FILTER (WHERE metric = 'clicks') AS clicks,
           sum(amount) FILTER (WHERE metric = 'conversions') AS conversions,
           sum(amount) FILTER (WHERE metric = 'likes') AS likes,
           sum(amount) FILTER (WHERE metric = 'comments') AS comments,
           sum(amount) FILTER (WHERE metric = 'shares') AS shares,
           sum(amount) FILTER (WHERE metric = 'total_calls') AS total_calls,
           sum(amount) FILTER (WHERE metric = 'completed_calls') AS completed_calls
      FROM (SELECT i.event_no, i.channel_no, m.metric, m.amount FROM hannun.increments i
             CROSS JOIN LATERAL (VALUES
                   ('impressions', impressions), ('views', views), ('clicks', clicks), ('conversions', conversions),
                   ('likes', likes), ('comments', comments), ('shares', shares), ('total_calls', total_calls),
                   ('completed_calls', completed_calls)) AS m (metric, amount)
             UNION ALL SELECT event_no, channel_no, metric, amount FROM hannun.corrections) AS amounts
     GROUP BY event_no, channel_no
)
SELECT coalesce(e.event_id, 'event number ' || event_no) || ' / ' || coalesce(c.name, 'channel number ' || channel_no),
       figure.name, figure.found, figure.expected
  FROM hannun.channel_measurements m
  FULL JOIN moved l USING (event_no, channel_no)
  LEFT JOIN hannun.events e USING (event_no)
  LEFT JOIN hannun.channels c USING (channel_no)
 CROSS JOIN LATERAL (VALUES
       -- Totals were accepted, or there is nothing in the ledgers: a row without them only records attempts.
       ('row', (m.measured_at IS NOT NULL OR l.event_no IS NULL)::text, 'true'),
       ('impressions', coalesce(m.impressions, 0)::text, coalesce(l.impressions, 0)::text),
       ('views', coalesce(m.views, 0)::text, coalesce(l.views, 0)::text),
       ('clicks', coalesce(m.clicks, 0)::text, coalesce(l.clicks, 0)::text),
       ('conversions', coalesce(m.conversions, 0)::text, coalesce(l.conversions, 0)::text),
       ('likes', coalesce(m.likes, 0)::text, coalesce(l.likes, 0)::text),
       ('comments', coalesce(m.comments, 0)::text, coalesce(l.comments, 0)::text),
       ('shares', coalesce(m.shares, 0)::text, coalesce(l.shares, 0)::text),
       ('total_calls', coalesce(m.total_calls, 0)::text, coalesce(l.total_calls, 0)::text),
       ('completed_calls', coalesce(m.completed_calls, 0)::text, coalesce(l.completed_calls, 0)::text)
       ) AS figure (name, found, expected)
 WHERE figure.found IS DISTINCT FROM figure.expected ORDER BY 1, 2;

-- timeline_data --
-- public.timeline_data: its buckets, from the ledger and the increments; its cumulative column, as their running sum, below
-- the event's watermark.
WITH happened AS (
    SELECT event_no, to_timestamp(minute * 60.0) AT TIME ZONE 'UTC' AS timestamp,
           count(*) AS participants, 0::bigint AS views, 0::bigint AS engagement, 0::bigint AS conversions
      FROM hannun.arrivals GROUP BY event_no, minute
     UNION ALL
    SELECT event_no, minute, 0, sum(views), sum(likes + comments + shares + clicks), sum(conversions)
      FROM hannun.increments GROUP BY event_no, minute
), expected AS (
    SELECT e.event_id, timestamp, sum(h.participants) AS participants, sum(views) AS views,
           sum(engagement) AS engagement, sum(conversions) AS conversions
      FROM happened h JOIN hannun.events e USING (event_no) GROUP BY e.event_id, timestamp
), running AS (
    SELECT coalesce(t.event_id, x.event_id) AS event_id, coalesce(t.timestamp, x.timestamp) AS timestamp,
           t.event_id IS NOT NULL AS there, x.event_id IS NOT NULL AS due, t.participants, t.views, t.engagement,
           t.conversions, t.cumulative_participants, x.participants AS x_participants, x.views AS x_views,
           x.engagement AS x_engagement, x.conversions AS x_conversions,
           sum(x.participants) OVER (PARTITION BY coalesce(t.event_id, x.event_id)
                                     ORDER BY coalesce(t.timestamp, x.timestamp)) AS x_cumulative
      FROM public.timeline_data t FULL JOIN expected x USING (event_id, timestamp)
)
SELECT r.event_id || ' at ' || to_char(r.timestamp, 'YYYY-MM-DD"T"HH24:MI"Z"'), figure.name, figure.found, figure.expected
  FROM running r
  LEFT JOIN hannun.events e USING (event_id)
 CROSS JOIN LATERAL (VALUES
       ('row', there::text, due::text),
       ('participants', r.participants::text, x_participants::text),
       ('views', r.views::text, x_views::text),
       ('engagement', r.engagement::text, x_engagement::text),
       ('conversions', r.conversions::text, x_conversions::text),
       ('cumulative_participants', r.cumulative_participants::text,
        CASE WHEN e.cumulative_owed_from <= r.timestamp THEN r.cumulative_participants ELSE x_cumulative END::text)
       ) AS figure (name, found, expected)
 WHERE figure.found IS DISTINCT FROM figure.expected
   -- Rows of a month that is not attached are not in the timeline, and need not be: hannun.timeline_months has their sum.
   AND (there OR EXISTS (SELECT FROM hannun.timeline_spans('1970-01-01', '9999-01-01') s
                          WHERE r.timestamp >= s.begins AND r.timestamp < s.ends))
 ORDER BY 1, 2;

-- timeline_months --
-- hannun.timeline_months: participants by month, from the ledger; and a row for each month in which a channel measured anything.
WITH expected AS (
    SELECT event_no, date_trunc('month', to_timestamp(minute * 60.0) AT TIME ZONE 'UTC')::date AS month,
           sum(participants) AS participants
      FROM (SELECT event_no, minute, count(*) AS participants FROM hannun.arrivals GROUP BY event_no, minute
             UNION ALL
            SELECT DISTINCT event_no, (extract(epoch FROM minute) / 60)::int, 0 FROM hannun.increments) AS happened
     GROUP BY 1, 2
)
SELECT coalesce(e.event_id, 'event number ' || event_no) || ' in ' || to_char(month, 'YYYY-MM'),
       figure.name, figure.found, figure.expected
  FROM hannun.timeline_months m
  FULL JOIN expected x USING (event_no, month)
  LEFT JOIN hannun.events e USING (event_no)
 CROSS JOIN LATERAL (VALUES
       ('row', (m.participants IS NOT NULL)::text, (x.participants IS NOT NULL)::text),
       ('participants', m.participants::text, x.participants::text)) AS figure (name, found, expected)
 WHERE figure.found IS DISTINCT FROM figure.expected ORDER BY 1, 2;

-- timeline_quarters --
-- hannun.timeline_quarters (the 15-minute roll-up): its rows and figures, from the minutes of the timeline, below the event's
-- watermark.
WITH expected AS (
    SELECT e.event_no, date_bin('15 minutes', t.timestamp, '2000-01-01') AS quarter, sum(t.participants) AS participants,
           sum(t.views) AS views, sum(t.engagement) AS engagement, sum(t.conversions) AS conversions
      FROM public.timeline_data t JOIN hannun.events e USING (event_id)
     WHERE t.timestamp < date_bin('15 minutes', e.cumulative_owed_from, '2000-01-01')
     GROUP BY 1, 2
), found AS (
    SELECT q.* FROM hannun.timeline_quarters q LEFT JOIN hannun.events e USING (event_no)
     WHERE (e.event_no IS NULL OR q.quarter < date_bin('15 minutes', e.cumulative_owed_from, '2000-01-01'))
       -- Rows of a detached month are deleted soon, and no query reads them.
       AND EXISTS (SELECT FROM hannun.timeline_spans('1970-01-01', '9999-01-01') s
                    WHERE q.quarter >= s.begins AND q.quarter < s.ends)
)
SELECT coalesce(e.event_id, 'event number ' || event_no) || ' at ' || to_char(quarter, 'YYYY-MM-DD"T"HH24:MI"Z"'),
       figure.name, figure.found, figure.expected
  FROM found q
  FULL JOIN expected x USING (event_no, quarter)
  LEFT JOIN hannun.events e USING (event_no)
 CROSS JOIN LATERAL (VALUES
       ('row', (q.participants IS NOT NULL)::text, (x.participants IS NOT NULL)::text),
       ('participants', q.participants::text, x.participants::text),
       ('views', q.views::text, x.views::text),
       ('engagement', q.engagement::text, x.engagement::text),
       ('conversions', q.conversions::text, x.conversions::text)) AS figure (name, found, expected)
 WHERE figure.found IS DISTINCT FROM figure.expected ORDER BY 1, 2;
