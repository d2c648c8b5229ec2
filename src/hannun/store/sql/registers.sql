-- registers --
-- The plans and statuses of events, before this batch.
SELECT event_no, event_id, status, status_at, plan_at, title, user_id, target_roi, starts_at, ends_at,
       total_investment, expected_revenue, baseline_revenue, sealed_plan
  FROM hannun.events WHERE event_no = ANY(%(event_nos)s::int[]);

-- distributions --
-- The distribution of every channel of events, before this batch.
SELECT d.event_no, c.key, d.channel_type, d.state, d.completed_at, d.expected_views, d.succeeded_at, d.cost, d.sealed_cost,
       d.channel_no
  FROM hannun.distributions d JOIN hannun.channels c USING (channel_no)
 WHERE d.event_no = ANY(%(event_nos)s::int[]);

-- save_registers --
-- Write the plans and statuses, after this batch.
UPDATE hannun.events SET
       plan_at = changed.plan_at, title = changed.title, user_id = changed.user_id,
       total_investment = changed.total_investment, expected_revenue = changed.expected_revenue,
       target_roi = changed.target_roi, baseline_revenue = changed.baseline_revenue, sealed_plan = changed.sealed_plan,
       starts_at = changed.starts_at, ends_at = changed.ends_at, status = changed.status, status_at = changed.status_at
  FROM unnest(%(event_nos)s::int[], %(plan_ats)s::timestamp[], %(titles)s::text[], %(user_ids)s::text[],
              %(total_investments)s::numeric[], %(expected_revenues)s::numeric[], %(target_rois)s::numeric[],
              %(baseline_revenues)s::numeric[], %(starts_ats)s::timestamp[], %(ends_ats)s::timestamp[],
              %(statuses)s::text[], %(status_ats)s::timestamp[], %(sealed_plans)s::bytea[])
       AS changed (event_no, plan_at, title, user_id, total_investment, expected_revenue, target_roi, baseline_revenue,
                starts_at, ends_at, status, status_at, sealed_plan)
 WHERE events.event_no = changed.event_no;

-- save_distributions --
-- Write the distributions of channels, after this batch.
INSERT INTO hannun.distributions AS d
       (event_no, channel_no, channel_type, state, completed_at, expected_views, cost, succeeded_at, sealed_cost)
SELECT * FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(channel_types)s::text[], %(states)s::text[],
                     %(completed_ats)s::timestamp[], %(expected_views)s::int[], %(costs)s::numeric[],
                     %(succeeded_ats)s::timestamp[], %(sealed_costs)s::bytea[])
    ON CONFLICT (event_no, channel_no) DO UPDATE SET
       channel_type = excluded.channel_type, state = excluded.state, completed_at = excluded.completed_at,
       expected_views = excluded.expected_views, cost = excluded.cost, succeeded_at = excluded.succeeded_at,
       sealed_cost = excluded.sealed_cost;

-- publish_distributions --
-- Write type and cost of the channels whose distribution changed to channel_stats, where a cost that no message has said is 0, and a
-- sealed one, too.
INSERT INTO public.channel_stats AS s (event_id, channel_name, channel_type, distribution_cost)
SELECT e.event_id, c.name, d.channel_type, coalesce(d.cost, 0)
  FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[]) AS changed (event_no, channel_no)
  JOIN hannun.distributions d USING (event_no, channel_no)
  JOIN hannun.channels c USING (channel_no)
  JOIN hannun.events e USING (event_no)
    ON CONFLICT (event_id, channel_name) DO UPDATE SET
       channel_type = excluded.channel_type, distribution_cost = excluded.distribution_cost,
       updated_at = clock_timestamp();
