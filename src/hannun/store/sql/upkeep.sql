-- may_write --
-- Whether this role may write our tables.
SELECT has_table_privilege('hannun.events', 'UPDATE') AND has_table_privilege('public.timeline_data', 'UPDATE')
   AND current_setting('transaction_read_only') = 'off';

-- owed_cumulatives --
-- Events whose cumulative column is owed from some minute on, in the order of their numbers.
SELECT event_no FROM hannun.events WHERE cumulative_owed_from IS NOT NULL AND event_no > %(after)s
 ORDER BY event_no LIMIT %(limit)s;

-- hold_event --
-- Hold an event until the end of the transaction: no batch counts for it meanwhile.
SELECT event_no FROM hannun.events WHERE event_no = %(event_no)s FOR UPDATE;

-- settle_cumulative --
-- Writes the cumulative column of one event from where it is owed, and forgets the debt. Only rows that are wrong are
-- written. The event must be held by an earlier statement: one that waited for a batch by itself would see the batch's
-- debt and not its rows, which its snapshot is too old for.
WITH owed AS (
    SELECT event_no, event_id, participants, cumulative_owed_from AS owed_from FROM hannun.events
     WHERE event_no = %(event_no)s AND cumulative_owed_from IS NOT NULL FOR UPDATE
), base AS (
    -- All but those who came since: few rows, since debts are young; and a month that was let go still counts.
    SELECT owed.participants - coalesce(sum(t.participants), 0) AS before
      FROM owed LEFT JOIN public.timeline_data t ON t.event_id = owed.event_id AND t.timestamp >= owed.owed_from
     GROUP BY owed.participants
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

-- events_with_typed_waiters --
-- Hold the events of which somebody waits for the type of a channel that is known by now.
SELECT event_no FROM hannun.events
 WHERE event_no IN (SELECT u.event_no FROM hannun.untyped_participants u JOIN hannun.channels c USING (channel_no)
                     WHERE c.channel_type IS NOT NULL)
 ORDER BY event_no FOR UPDATE;

-- attribute_typed_waiters --
-- Those who waited move to their channels, and their events' answers are false. The events are held.
WITH moved AS (
    DELETE FROM hannun.untyped_participants u USING hannun.channels c
     WHERE c.channel_no = u.channel_no AND c.channel_type IS NOT NULL AND u.event_no = ANY(%(event_nos)s::int[])
    RETURNING u.event_no, c.name, c.channel_type, u.participants
), added AS (
    INSERT INTO public.channel_stats AS s (event_id, channel_name, channel_type, participants)
    SELECT e.event_id, m.name, m.channel_type, m.participants FROM moved m JOIN hannun.events e USING (event_no)
        ON CONFLICT (event_id, channel_name) DO UPDATE SET
           participants = s.participants + excluded.participants, updated_at = clock_timestamp()
), counted AS (
    UPDATE hannun.events e SET unattributed = e.unattributed - m.participants,
           version = greatest(e.version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
      FROM (SELECT event_no, sum(participants) AS participants, jsonb_agg(name) AS channels FROM moved GROUP BY event_no) m
     WHERE e.event_no = m.event_no
    RETURNING e.event_id, e.user_id, e.version, m.channels
), owed AS (
    INSERT INTO hannun.owed_invalidations (events)
    SELECT jsonb_object_agg(event_id, jsonb_build_object('userId', user_id, 'version', version, 'channels', channels))
      FROM counted HAVING count(*) > 0
)
SELECT coalesce(sum(participants), 0) FROM moved;
