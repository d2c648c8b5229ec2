-- may_write --
-- Whether this role may write our tables.
SELECT has_table_privilege('hannun.events', 'UPDATE') AND has_table_privilege('public.timeline_data', 'UPDATE');

-- owed_cumulatives --
-- Events whose cumulative column is owed from some minute on, longest owed first by number.
SELECT event_no FROM hannun.events WHERE cumulative_owed_from IS NOT NULL ORDER BY event_no LIMIT %(limit)s;

-- hold_event --
-- Hold an event until the end of the transaction: no batch counts for it meanwhile.
SELECT event_no FROM hannun.events WHERE event_no = %(event_no)s FOR UPDATE;

-- settle_cumulative --
-- Writes the cumulative column of one event from where it is owed, and forgets the debt. Only rows that are wrong are
-- written. The event must be held by an earlier statement: one that waited for a batch by itself would see the batch's
-- debt and not its rows, which its snapshot is too old for.
WITH owed AS (
    SELECT event_no, event_id, cumulative_owed_from AS owed_from FROM hannun.events
     WHERE event_no = %(event_no)s AND cumulative_owed_from IS NOT NULL FOR UPDATE
), base AS (
    SELECT coalesce(sum(t.participants), 0)::bigint AS before
      FROM public.timeline_data t, owed WHERE t.event_id = owed.event_id AND t.timestamp < owed.owed_from
), running AS (
    SELECT t.event_id, t.timestamp, t.cumulative_participants,
           base.before + sum(t.participants) OVER (ORDER BY t.timestamp) AS cumulative
      FROM public.timeline_data t CROSS JOIN base JOIN owed ON t.event_id = owed.event_id
     WHERE t.timestamp >= owed.owed_from
), repaired AS (
    UPDATE public.timeline_data t SET cumulative_participants = running.cumulative, updated_at = clock_timestamp()
      FROM running
     WHERE t.event_id = running.event_id AND t.timestamp = running.timestamp
       AND running.cumulative_participants <> running.cumulative
    RETURNING 1
), settled AS (
    UPDATE hannun.events SET cumulative_owed_from = NULL FROM owed WHERE events.event_no = owed.event_no
)
SELECT count(*) FROM repaired;

-- waiting_events --
-- Events of which something was counted and whose creation has not come for an hour: an alarm.
SELECT event_id, participants FROM hannun.events
 WHERE user_id IS NULL AND (participants > 0 OR sales > 0) AND first_seen_at < clock_timestamp() - interval '1 hour'
 ORDER BY first_seen_at LIMIT 100;
