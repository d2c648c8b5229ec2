-- Each query is a part of the comparison, and returns (event_id, key, value) of one database; a value is a row, or its JSON.
-- Ids of rows and the integer keys of events and channels are not compared, because they are assigned in the order of arrival.
-- The cumulative column is not compared either, because its roll-up may be pending.

-- participants --
-- Not from the view hannun.arrivals: a condition on event_id must find the event's segments by their index.
SELECT p.event_id, p.participant::text AS key, value
  FROM (SELECT e.event_id, l.participant, coalesce(l.minute, 23667840 + (l.came >> 6)) AS minute,
               coalesce(l.channel_no, l.came & 63) AS channel_no
          FROM hannun.participants l JOIN hannun.events e USING (event_no)
         UNION ALL
        SELECT e.event_id, l.participant, 23667840 + (l.came >> 6), l.came & 63
          FROM hannun.packed_participants s JOIN hannun.events e USING (event_no)
         CROSS JOIN LATERAL unnest(s.participants, s.cames) AS l (participant, came)) AS p
  LEFT JOIN hannun.channels c USING (channel_no)
 CROSS JOIN LATERAL (SELECT p.minute, c.key AS channel) AS value

-- sales --
SELECT e.event_id, s.sale_id AS key, value
  FROM hannun.sales s JOIN hannun.events e USING (event_no) LEFT JOIN hannun.channels c USING (channel_no)
 CROSS JOIN LATERAL (SELECT s.amount, s.sold_at, c.key AS channel) AS value

-- plans --
SELECT event_id, register.key, register.value FROM hannun.events e CROSS JOIN LATERAL (VALUES
       ('plan', CASE WHEN plan_at IS NOT NULL THEN (SELECT to_jsonb(plan) FROM (
        SELECT e.plan_at, e.user_id, e.title, e.total_investment, e.expected_revenue, e.target_roi, e.baseline_revenue,
               e.starts_at, e.ends_at) AS plan) END),
       ('status', CASE WHEN status_at IS NOT NULL THEN jsonb_build_object('status', status, 'status_at', status_at) END)
       ) AS register (key, value)
 WHERE register.value IS NOT NULL

-- distributions --
SELECT e.event_id, c.key, value
  FROM hannun.distributions d JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)
 CROSS JOIN LATERAL (SELECT d.channel_type, d.state, d.completed_at, d.expected_views, d.cost, d.succeeded_at) AS value

-- measures --
SELECT e.event_id, c.key || ' ' || m.key AS key, m.value
  FROM (SELECT event_no, channel_no, minute::text AS key, to_jsonb(value) AS value FROM hannun.increments i
         CROSS JOIN LATERAL (SELECT i.baseline, i.impressions, i.views, i.clicks, i.conversions, i.likes, i.comments, i.shares,
                                    i.total_calls, i.completed_calls) AS value
         UNION ALL
        SELECT event_no, channel_no, correction_no::text, to_jsonb(value) FROM hannun.corrections c
         CROSS JOIN LATERAL (SELECT c.corrected_at, c.metric, c.amount) AS value
         UNION ALL
        SELECT event_no, channel_no, 'totals', to_jsonb(value) FROM hannun.channel_measurements t
         CROSS JOIN LATERAL (SELECT t.measured_at, t.impressions, t.views, t.clicks, t.conversions, t.likes, t.comments,
                                    t.shares, t.total_calls, t.completed_calls, t.average_duration, t.falls, t.imported) AS value
         WHERE t.measured_at IS NOT NULL) m
  JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)

-- totals --
SELECT event_id, 'totals' AS key, value
  FROM hannun.events e
 CROSS JOIN LATERAL (SELECT e.participants, e.unattributed, e.sales, e.recorded_revenue) AS value
 WHERE e.participants > 0 OR e.sales > 0 OR e.unattributed > 0

-- untyped_participants --
SELECT e.event_id, c.key, value
  FROM hannun.untyped_participants u JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)
 CROSS JOIN LATERAL (SELECT u.participants) AS value

-- event_stats --
SELECT event_id, 'row' AS key, value
  FROM public.event_stats s
 CROSS JOIN LATERAL (SELECT s.event_title, s.user_id, s.total_participants, s.total_views, s.estimated_roi, s.target_roi,
                            s.sales_growth_rate, s.total_investment, s.expected_revenue, s.status) AS value

-- channel_stats --
SELECT event_id, channel_name AS key, value
  FROM public.channel_stats s
 CROSS JOIN LATERAL (SELECT s.channel_type, s.impressions, s.views, s.clicks, s.participants, s.conversions,
                            s.distribution_cost, s.likes, s.comments, s.shares, s.total_calls, s.completed_calls,
                            s.average_duration) AS value

-- timeline_data --
SELECT event_id, timestamp::text AS key, value
  FROM public.timeline_data t
 CROSS JOIN LATERAL (SELECT t.participants, t.views, t.engagement, t.conversions) AS value
 WHERE %(months)s::date[] IS NULL OR date_trunc('month', timestamp)::date = ANY(%(months)s::date[])
