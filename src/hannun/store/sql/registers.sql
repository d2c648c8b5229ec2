-- registers --
-- What the newest messages said of events, before this batch.
SELECT event_no, status, status_at, plan_at, starts_at, ends_at, title, user_id, total_investment, expected_revenue,
       target_roi, baseline_revenue
  FROM hannun.events WHERE event_no = ANY(%(event_nos)s::int[]);

-- distributions --
-- The state of every channel of events, before this batch.
SELECT d.event_no, c.key, d.channel_type, d.state, d.completed_at, d.expected_views, d.cost, d.succeeded_at
  FROM hannun.distributions d JOIN hannun.channels c USING (channel_no)
 WHERE d.event_no = ANY(%(event_nos)s::int[]);

-- save_registers --
-- Plans and statuses, after this batch.
UPDATE hannun.events SET
       plan_at = told.plan_at, title = told.title, user_id = told.user_id,
       total_investment = coalesce(told.total_investment, 0), expected_revenue = coalesce(told.expected_revenue, 0),
       target_roi = coalesce(told.target_roi, 0), baseline_revenue = told.baseline_revenue,
       starts_at = told.starts_at, ends_at = told.ends_at, status = told.status, status_at = told.status_at
  FROM unnest(%(event_nos)s::int[], %(plan_ats)s::timestamp[], %(titles)s::text[], %(user_ids)s::text[],
              %(total_investments)s::numeric[], %(expected_revenues)s::numeric[], %(target_rois)s::numeric[],
              %(baseline_revenues)s::numeric[], %(starts_ats)s::timestamp[], %(ends_ats)s::timestamp[],
              %(statuses)s::text[], %(status_ats)s::timestamp[])
       AS told (event_no, plan_at, title, user_id, total_investment, expected_revenue, target_roi, baseline_revenue,
                starts_at, ends_at, status, status_at)
 WHERE events.event_no = told.event_no;

-- save_distributions --
-- The state of channels, after this batch.
INSERT INTO hannun.distributions AS d
       (event_no, channel_no, channel_type, state, completed_at, expected_views, cost, succeeded_at)
SELECT * FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(channel_types)s::text[], %(states)s::text[],
                     %(completed_ats)s::timestamp[], %(expected_views)s::int[], %(costs)s::numeric[],
                     %(succeeded_ats)s::timestamp[])
    ON CONFLICT (event_no, channel_no) DO UPDATE SET
       channel_type = excluded.channel_type, state = excluded.state, completed_at = excluded.completed_at,
       expected_views = excluded.expected_views, cost = excluded.cost, succeeded_at = excluded.succeeded_at;

-- publish_distributions --
-- The rows of channels whose distribution changed: their type and what they cost.
INSERT INTO public.channel_stats AS s (event_id, channel_name, channel_type, distribution_cost)
SELECT e.event_id, c.name, d.channel_type, d.cost
  FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[]) AS changed (event_no, channel_no)
  JOIN hannun.distributions d USING (event_no, channel_no)
  JOIN hannun.channels c USING (channel_no)
  JOIN hannun.events e USING (event_no)
    ON CONFLICT (event_id, channel_name) DO UPDATE SET
       channel_type = excluded.channel_type, distribution_cost = excluded.distribution_cost,
       updated_at = clock_timestamp();
