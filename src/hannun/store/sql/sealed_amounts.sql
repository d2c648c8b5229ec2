-- values --
-- Every sealed amount of these events, or of all: event, what it is, the key of its row for its place, the same key as text that is
-- equal in every database, and the sealed value.
SELECT event_id, 'plan', '', '', sealed_plan FROM hannun.events
 WHERE sealed_plan IS NOT NULL AND (%(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s::text[]))
 UNION ALL
SELECT event_id, 'revenue', '', '', sealed_revenue FROM hannun.events
 WHERE sealed_revenue IS NOT NULL AND (%(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s::text[]))
 UNION ALL
SELECT e.event_id, 'cost', d.channel_no::text, c.key, d.sealed_cost
  FROM hannun.distributions d JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)
 WHERE d.sealed_cost IS NOT NULL AND (%(event_ids)s::text[] IS NULL OR e.event_id = ANY(%(event_ids)s::text[]))
 UNION ALL
SELECT e.event_id, 'sale', s.sale_id, s.sale_id, s.sealed_amount FROM hannun.sales s JOIN hannun.events e USING (event_no)
 WHERE s.sealed_amount IS NOT NULL AND (%(event_ids)s::text[] IS NULL OR e.event_id = ANY(%(event_ids)s::text[]));

-- revenues --
-- The recorded revenue of every event that has sealed sales, or whose own amounts are sealed.
SELECT e.event_no, e.event_id, e.recorded_revenue, e.sealed_revenue FROM hannun.events e
 WHERE e.amounts_sealed OR EXISTS (SELECT FROM hannun.sales s WHERE s.event_no = e.event_no AND s.sealed_amount IS NOT NULL)
 ORDER BY e.event_no;

-- sales --
-- The sales of an event, as numbers or sealed.
SELECT sale_id, amount, sealed_amount FROM hannun.sales WHERE event_no = %(event_no)s;
