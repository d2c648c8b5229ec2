-- Derived from the minutes of an event's timeline: the column timeline_data.cumulative_participants, and the 15-minute
-- roll-up in hannun.timeline_quarters. events.cumulative_owed_from is the watermark: from that minute on both are pending.
-- The year 9999 means that nothing is pending.

-- can_write --
-- Whether this role and this session may write the roll-up.
SELECT has_table_privilege('hannun.events', 'UPDATE') AND has_table_privilege('public.timeline_data', 'UPDATE')
   AND has_table_privilege('hannun.timeline_quarters', 'INSERT, UPDATE, DELETE')
   AND has_table_privilege('hannun.timeline_months', 'INSERT, UPDATE')
   AND current_setting('transaction_read_only') = 'off';

-- pending_events --
-- Events whose roll-up is pending, in the order of their numbers.
SELECT event_no FROM hannun.events WHERE cumulative_owed_from < '9999-01-01' AND event_no > %(after)s
 ORDER BY event_no LIMIT %(limit)s;

-- lock_event --
-- Lock an event until the end of the transaction: no batch counts for it meanwhile.
SELECT event_no FROM hannun.events WHERE event_no = %(event_no)s FOR UPDATE;

-- recount_months --
-- Count an event's participants by month from the ledger, where their sum is not the event's total: a counter of a version
-- that does not know hannun.timeline_months has counted for it. The condition is evaluated once, before the ledger is read.
INSERT INTO hannun.timeline_months AS m (event_no, month, participants)
SELECT %(event_no)s, date_trunc('month', to_timestamp(minute * 60.0) AT TIME ZONE 'UTC'), sum(participants)
  FROM (SELECT minute, count(*) AS participants FROM hannun.arrivals
         WHERE event_no = %(event_no)s
           AND (SELECT e.participants FROM hannun.events e WHERE e.event_no = %(event_no)s)
               <> (SELECT coalesce(sum(participants), 0) FROM hannun.timeline_months WHERE event_no = %(event_no)s)
         GROUP BY minute) AS arrived
 GROUP BY 2
    ON CONFLICT (event_no, month) DO UPDATE SET participants = excluded.participants;

-- roll_up_event --
-- Rewrite the cumulative column and the 15-minute roll-up of one event, from its watermark on, over about `minutes` minutes
-- that have a row; then move the watermark behind them. Returns how many rows of the timeline had a wrong cumulative figure,
-- and whether anything is still pending. Only wrong rows are written. An earlier statement must have locked the event: a
-- statement that waits for a batch itself would see the watermark that the batch lowered, but not the batch's rows, because
-- its snapshot is older than they are.
WITH pending AS (
    SELECT event_no, event_id, participants, date_bin('15 minutes', cumulative_owed_from, '2000-01-01') AS since
      FROM hannun.events WHERE event_no = %(event_no)s AND cumulative_owed_from < '9999-01-01'
), step AS MATERIALIZED (
    SELECT pending.*,
           -- A quarter has at most 15 rows, so the row found here lies in a later quarter than the first. The comparison of
           -- pairs makes the planner use the index that holds an event's minutes in their order.
           coalesce((SELECT date_bin('15 minutes', t.timestamp, '2000-01-01') FROM public.timeline_data t
                      WHERE (t.event_id, t.timestamp) >= (pending.event_id, pending.since)
                        AND t.event_id <= pending.event_id AND t.timestamp >= pending.since
                      ORDER BY t.event_id, t.timestamp OFFSET %(minutes)s + 15 LIMIT 1), '9999-01-01') AS until,
           -- The participants before the step: the cumulative figure of the last minute before it in the same month, else
           -- those of earlier months.
           coalesce((SELECT t.cumulative_participants
                       FROM (SELECT quarter FROM hannun.timeline_quarters q
                              WHERE q.event_no = pending.event_no AND q.quarter < pending.since
                                AND q.quarter >= date_trunc('month', pending.since)
                              ORDER BY quarter DESC LIMIT 1) q
                       JOIN public.timeline_data t
                         ON t.event_id = pending.event_id AND t.timestamp >= q.quarter
                        AND t.timestamp < q.quarter + interval '15 minutes'
                      ORDER BY t.timestamp DESC LIMIT 1),
                    (SELECT sum(m.participants) FROM hannun.timeline_months m
                      WHERE m.event_no = pending.event_no AND m.month < date_trunc('month', pending.since)),
                    0) AS before
      FROM pending
), months AS MATERIALIZED (
    -- The participants before each month. A month may be missing in the timeline, so it is not the sum of earlier minutes.
    SELECT m.month, CASE WHEN m.month = date_trunc('month', step.since) THEN step.before
                         ELSE sum(m.participants) OVER (ORDER BY m.month) - m.participants END AS before
      FROM step JOIN hannun.timeline_months m USING (event_no)
), minutes AS MATERIALIZED (
    SELECT t.event_id, t.timestamp, t.participants, t.views, t.engagement, t.conversions, t.cumulative_participants,
           coalesce(months.before, 0) + sum(t.participants) OVER (PARTITION BY date_trunc('month', t.timestamp)
                                                                      ORDER BY t.timestamp) AS cumulative
      FROM step
      JOIN public.timeline_data t ON t.event_id = step.event_id
      LEFT JOIN months ON months.month = date_trunc('month', t.timestamp)
     WHERE t.timestamp >= step.since AND t.timestamp < step.until
), repaired AS (
    UPDATE public.timeline_data t SET cumulative_participants = minutes.cumulative, updated_at = clock_timestamp()
      FROM minutes
     WHERE t.event_id = minutes.event_id AND t.timestamp = minutes.timestamp
       AND minutes.cumulative_participants <> minutes.cumulative
    RETURNING 1
), quarters AS (
    SELECT date_bin('15 minutes', timestamp, '2000-01-01') AS quarter, sum(participants) AS participants,
           sum(views) AS views, sum(engagement) AS engagement, sum(conversions) AS conversions
      FROM minutes GROUP BY 1
), written AS (
    INSERT INTO hannun.timeline_quarters AS q (event_no, quarter, participants, views, engagement, conversions)
    SELECT step.event_no, quarters.* FROM quarters CROSS JOIN step ORDER BY quarter
        ON CONFLICT (event_no, quarter) DO UPDATE SET participants = excluded.participants, views = excluded.views,
           engagement = excluded.engagement, conversions = excluded.conversions
     WHERE (q.participants, q.views, q.engagement, q.conversions)
           <> (excluded.participants, excluded.views, excluded.engagement, excluded.conversions)
), removed AS (
    DELETE FROM hannun.timeline_quarters q USING step
     WHERE q.event_no = step.event_no AND q.quarter >= step.since AND q.quarter < step.until
       AND NOT EXISTS (SELECT FROM quarters WHERE quarters.quarter = q.quarter)
), watermark AS (
    UPDATE hannun.events SET cumulative_owed_from = step.until FROM step WHERE events.event_no = step.event_no
)
SELECT (SELECT count(*) FROM repaired), until < '9999-01-01' FROM step;
