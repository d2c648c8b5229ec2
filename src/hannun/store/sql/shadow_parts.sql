-- Each query is a part of the comparison, and returns (event_id, key, value) of one database. Ids of rows and the integer keys
-- of events and channels are not compared, because they are assigned in the order of arrival. The cumulative column is not
-- compared either, because its roll-up may be pending.

-- participants --
SELECT e.event_id, p.participant::text AS key, ROW(p.minute, c.key)::text AS value
  FROM hannun.arrivals p JOIN hannun.events e USING (event_no) LEFT JOIN hannun.channels c USING (channel_no)

-- sales --
SELECT e.event_id, s.sale_id AS key, ROW(s.amount, s.sold_at, c.key)::text AS value
  FROM hannun.sales s JOIN hannun.events e USING (event_no) LEFT JOIN hannun.channels c USING (channel_no)

-- plans --
SELECT event_id, register.key, register.value FROM hannun.events CROSS JOIN LATERAL (VALUES
       ('plan', CASE WHEN plan_at IS NOT NULL THEN
        ROW(plan_at, user_id, title, total_investment, expected_revenue, target_roi, baseline_revenue, starts_at, ends_at)::text
        END),
       ('status', CASE WHEN status_at IS NOT NULL THEN ROW(status, status_at)::text END)) AS register (key, value)
 WHERE register.value IS NOT NULL

-- distributions --
SELECT e.event_id, c.key,
       ROW(d.channel_type, d.state, d.completed_at, d.expected_views, d.cost, d.succeeded_at)::text AS value
  FROM hannun.distributions d JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)

-- measures --
SELECT e.event_id, c.key || ' ' || m.key AS key, m.value
  FROM (SELECT event_no, channel_no, minute::text AS key,
               ROW(baseline, impressions, views, clicks, conversions, likes, comments, shares, total_calls,
                   completed_calls)::text AS value FROM hannun.increments
         UNION ALL
        SELECT event_no, channel_no, correction_no::text, ROW(corrected_at, metric, amount)::text FROM hannun.corrections) m
  JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)

-- totals --
SELECT event_id, 'totals' AS key, ROW(participants, unattributed, sales, recorded_revenue)::text AS value
  FROM hannun.events WHERE participants > 0 OR sales > 0 OR unattributed > 0

-- untyped_participants --
SELECT e.event_id, c.key, u.participants::text AS value
  FROM hannun.untyped_participants u JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)

-- event_stats --
SELECT event_id, 'row' AS key,
       ROW(event_title, user_id, total_participants, total_views, estimated_roi, target_roi, sales_growth_rate,
           total_investment, expected_revenue, status)::text AS value
  FROM public.event_stats

-- channel_stats --
SELECT event_id, channel_name AS key,
       ROW(channel_type, impressions, views, clicks, participants, conversions, distribution_cost, likes, comments, shares,
           total_calls, completed_calls, average_duration)::text AS value
  FROM public.channel_stats

-- timeline_data --
SELECT event_id, timestamp::text AS key, ROW(participants, views, engagement, conversions)::text AS value
  FROM public.timeline_data
