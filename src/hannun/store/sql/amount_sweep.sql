-- lock_form --
-- Set whether the amounts of new events and dead letters are sealed. The lock stands until the transaction ends: it waits for
-- transactions that have read the value, and two operators wait for each other here.
UPDATE hannun.amount_encryption SET seals = %(seals)s, changed_at = clock_timestamp();

-- form --
-- Whether the amounts of new events and dead letters are sealed, locked as above.
SELECT seals FROM hannun.amount_encryption FOR UPDATE;

-- open_sweep --
-- The sweep that has not ended, and for how long it has shown no sign of life.
SELECT sweep_no, operation, run_by, extract(epoch FROM clock_timestamp() - heartbeat_at)::float8
  FROM hannun.amount_sweeps WHERE ended_at IS NULL;

-- take_over --
-- Go on with a sweep that was interrupted: the process that ran it can write nothing more.
UPDATE hannun.amount_sweeps SET epoch = epoch + 1, run_by = %(run_by)s, heartbeat_at = clock_timestamp()
 WHERE sweep_no = %(sweep_no)s RETURNING sweep_no, epoch;

-- end_interrupted --
-- End a sweep that was interrupted, because another operation begins.
UPDATE hannun.amount_sweeps SET ended_at = clock_timestamp(), epoch = epoch + 1 WHERE sweep_no = %(sweep_no)s;

-- begin --
-- A new sweep.
INSERT INTO hannun.amount_sweeps (operation, run_by, started_at, heartbeat_at)
VALUES (%(operation)s, %(run_by)s, clock_timestamp(), clock_timestamp()) RETURNING sweep_no, epoch;

-- heartbeat --
-- A sign of life, in the transaction of each step. No row means that another process has taken the sweep over.
UPDATE hannun.amount_sweeps SET heartbeat_at = clock_timestamp(), rows_changed = rows_changed + %(rows)s
 WHERE sweep_no = %(sweep_no)s AND epoch = %(epoch)s AND ended_at IS NULL;

-- finish --
-- All rows have the form that the sweep gives them.
UPDATE hannun.amount_sweeps SET ended_at = clock_timestamp(), finished = true
 WHERE sweep_no = %(sweep_no)s AND epoch = %(epoch)s AND ended_at IS NULL;

-- require_version --
-- Processes that do not know sealed amounts must not start on this database.
UPDATE hannun.schema_compatibility SET oldest_version = %(version)s WHERE oldest_version < %(version)s;

-- lock_events --
-- The next events whose amounts do not have the wanted form, locked in the order of their numbers as by batches. `prefix` is what
-- values of the active key start with; NULL in other operations than a rotation.
SELECT e.event_no, e.event_id, e.sales > 0, e.total_investment, e.expected_revenue, e.baseline_revenue, e.sealed_plan,
       e.recorded_revenue, e.sealed_revenue
  FROM hannun.events e
 WHERE e.event_no > %(after)s
   AND CASE WHEN %(prefix)s::bytea IS NULL THEN e.amounts_sealed <> %(sealed)s
            ELSE e.amounts_sealed AND (substring(e.sealed_plan FROM 1 FOR length(%(prefix)s::bytea)) <> %(prefix)s::bytea
                 OR substring(e.sealed_revenue FROM 1 FOR length(%(prefix)s::bytea)) <> %(prefix)s::bytea
                 OR EXISTS (SELECT FROM hannun.distributions d WHERE d.event_no = e.event_no
                               AND substring(d.sealed_cost FROM 1 FOR length(%(prefix)s::bytea)) <> %(prefix)s::bytea)) END
 ORDER BY e.event_no LIMIT %(limit)s FOR UPDATE;

-- costs --
-- The costs of these events' channels.
SELECT event_no, channel_no, cost, sealed_cost FROM hannun.distributions WHERE event_no = ANY(%(event_nos)s::int[]);

-- save_events --
-- The amounts of events in their new form.
UPDATE hannun.events e SET
       amounts_sealed = %(sealed)s, total_investment = given.investment, expected_revenue = given.expected,
       baseline_revenue = given.baseline, recorded_revenue = given.recorded, sealed_plan = given.sealed_plan,
       sealed_revenue = given.sealed_revenue
  FROM unnest(%(event_nos)s::int[], %(investments)s::numeric[], %(expecteds)s::numeric[], %(baselines)s::numeric[],
              %(recordeds)s::numeric[], %(sealed_plans)s::bytea[], %(sealed_revenues)s::bytea[])
       AS given (event_no, investment, expected, baseline, recorded, sealed_plan, sealed_revenue)
 WHERE e.event_no = given.event_no;

-- save_costs --
-- The costs of channels in their new form.
UPDATE hannun.distributions d SET cost = given.cost, sealed_cost = given.sealed_cost
  FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(costs)s::numeric[], %(sealed_costs)s::bytea[])
       AS given (event_no, channel_no, cost, sealed_cost)
 WHERE d.event_no = given.event_no AND d.channel_no = given.channel_no;

-- publish_costs --
-- The costs in channel_stats: 0 where they are sealed. updated_at is the version of a channel's answers, and these do not change: so
-- it changes by as little as it can.
UPDATE public.channel_stats s SET distribution_cost = coalesce(d.cost, 0), updated_at = s.updated_at + interval '1 microsecond'
  FROM hannun.distributions d JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)
 WHERE d.event_no = ANY(%(event_nos)s::int[]) AND s.event_id = e.event_id AND s.channel_name = c.name
   AND s.distribution_cost <> coalesce(d.cost, 0);

-- sales --
-- The next sales whose amounts do not have the wanted form; `prefix` as above.
SELECT s.event_no, s.sale_id, e.event_id, s.amount, s.sealed_amount
  FROM hannun.sales s JOIN hannun.events e USING (event_no)
 WHERE (s.event_no, s.sale_id) > (%(event_no)s, %(sale_id)s)
   AND CASE WHEN %(prefix)s::bytea IS NULL THEN (s.sealed_amount IS NOT NULL) <> %(sealed)s
            ELSE substring(s.sealed_amount FROM 1 FOR length(%(prefix)s::bytea)) <> %(prefix)s::bytea END
 ORDER BY s.event_no, s.sale_id LIMIT %(limit)s;

-- save_sales --
-- The amounts of sales in their new form.
UPDATE hannun.sales s SET amount = given.amount, sealed_amount = given.sealed_amount
  FROM unnest(%(event_nos)s::int[], %(sale_ids)s::text[], %(amounts)s::numeric[], %(sealed_amounts)s::bytea[])
       AS given (event_no, sale_id, amount, sealed_amount)
 WHERE s.event_no = given.event_no AND s.sale_id = given.sale_id;

-- dead_letters --
-- The next dead letters whose amounts, among the known fields, do not have the wanted form.
SELECT dead_letter_no, hash, fields, sealed_amounts FROM hannun.dead_letters
 WHERE dead_letter_no > %(after)s
   AND CASE WHEN %(prefix)s::bytea IS NULL
            THEN CASE WHEN %(sealed)s
                      THEN fields::text ~ '"(totalInvestment|expectedRevenue|baselineRevenue|distributionCost|amount)":'
                      ELSE sealed_amounts IS NOT NULL END
            ELSE substring(sealed_amounts FROM 1 FOR length(%(prefix)s::bytea)) <> %(prefix)s::bytea END
 ORDER BY dead_letter_no LIMIT %(limit)s FOR UPDATE;

-- save_dead_letter --
-- The known fields of a dead letter in their new form.
UPDATE hannun.dead_letters SET fields = %(fields)s, sealed_amounts = %(sealed_amounts)s WHERE dead_letter_no = %(no)s;

-- counts --
-- How many rows hold amounts, by form and key: what, the key (NULL where plain), and how many.
SELECT what, CASE WHEN sealed IS NOT NULL THEN convert_from(substring(sealed FROM 3 FOR get_byte(sealed, 1)), 'UTF8') END AS key,
       count(*)
  FROM (SELECT 'events', coalesce(sealed_plan, sealed_revenue) FROM hannun.events
         WHERE sealed_plan IS NOT NULL OR sealed_revenue IS NOT NULL
            OR (NOT amounts_sealed AND (recorded_revenue <> 0 OR total_investment IS NOT NULL OR expected_revenue IS NOT NULL
                                        OR baseline_revenue IS NOT NULL))
         UNION ALL
        SELECT 'events', sealed_revenue FROM hannun.events WHERE sealed_plan IS NOT NULL AND sealed_revenue IS NOT NULL
           AND substring(sealed_revenue FROM 1 FOR 2 + get_byte(sealed_plan, 1))
            <> substring(sealed_plan FROM 1 FOR 2 + get_byte(sealed_plan, 1))
         UNION ALL
        SELECT 'costs', sealed_cost FROM hannun.distributions WHERE cost IS NOT NULL OR sealed_cost IS NOT NULL
         UNION ALL
        SELECT 'sales', sealed_amount FROM hannun.sales
         UNION ALL
        SELECT 'dead letters', sealed_amounts FROM hannun.dead_letters
         WHERE sealed_amounts IS NOT NULL
            OR fields::text ~ '"(totalInvestment|expectedRevenue|baselineRevenue|distributionCost|amount)":') AS found (what, sealed)
 GROUP BY 1, 2 ORDER BY 1, 2;

-- forget_keys --
-- Forget the keys with which nothing is sealed any more.
DELETE FROM hannun.amount_keys WHERE key_id <> ALL(%(used)s::text[]);

-- last_sweep --
-- The newest sweep.
SELECT operation, run_by, started_at, ended_at, finished, rows_changed,
       extract(epoch FROM clock_timestamp() - heartbeat_at)::float8
  FROM hannun.amount_sweeps ORDER BY sweep_no DESC LIMIT 1;
