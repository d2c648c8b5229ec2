-- may_write --
-- Whether this role may write our tables.
SELECT has_table_privilege('hannun.events', 'UPDATE') AND has_table_privilege('public.timeline_data', 'UPDATE')
   AND has_table_privilege('hannun.timeline_quarters', 'INSERT, UPDATE, DELETE')
   AND current_setting('transaction_read_only') = 'off';

-- owing_events --
-- Events of which something made of the timeline is owed, in the order of their numbers.
SELECT event_no FROM hannun.events WHERE cumulative_owed_from < '9999-01-01' AND event_no > %(after)s
 ORDER BY event_no LIMIT %(limit)s;

-- hold_event --
-- Hold an event until the end of the transaction: no batch counts for it meanwhile.
SELECT event_no FROM hannun.events WHERE event_no = %(event_no)s FOR UPDATE;

-- settle_timeline --
-- Writes what is made of one event's timeline, the cumulative column and the quarters, from where it is owed over about so
-- many minutes that have a row, and owes it from there on; answers the rows of the timeline that were wrong, and whether
-- anything is still owed. Only what is wrong is written. The event must be held by an earlier statement: one that waited for
-- a batch by itself would see the batch's debt and not its rows, which its snapshot is too old for.
WITH owed AS (
    SELECT event_no, event_id, participants, date_bin('15 minutes', cumulative_owed_from, '2000-01-01') AS since
      FROM hannun.events WHERE event_no = %(event_no)s AND cumulative_owed_from < '9999-01-01'
), piece AS MATERIALIZED (
    SELECT owed.*,
           -- A quarter has at most 15 rows, so this one is of a later quarter than the first. Asked for in pairs, it can
           -- only come out of the index that has an event's minutes in their order.
           coalesce((SELECT date_bin('15 minutes', t.timestamp, '2000-01-01') FROM public.timeline_data t
                      WHERE (t.event_id, t.timestamp) >= (owed.event_id, owed.since) AND t.event_id <= owed.event_id
                        AND t.timestamp >= owed.since
                      ORDER BY t.event_id, t.timestamp OFFSET %(minutes)s + 15 LIMIT 1), '9999-01-01') AS until,
           -- What the minute before says, where no month between them was let go; else all but those who came since.
           coalesce((SELECT t.cumulative_participants
                       FROM (SELECT quarter FROM hannun.timeline_quarters q
                              WHERE q.event_no = owed.event_no AND q.quarter < owed.since ORDER BY quarter DESC LIMIT 1) q
                       JOIN hannun.timeline_spans('1970-01-01', '9999-01-01') s
                         ON q.quarter >= s.begins AND owed.since < s.ends
                       JOIN public.timeline_data t
                         ON t.event_id = owed.event_id AND t.timestamp >= q.quarter
                        AND t.timestamp < q.quarter + interval '15 minutes'
                      ORDER BY t.timestamp DESC LIMIT 1),
                    owed.participants - (SELECT coalesce(sum(t.participants), 0) FROM public.timeline_data t
                                          WHERE t.event_id = owed.event_id AND t.timestamp >= owed.since)) AS before
      FROM owed
), minutes AS MATERIALIZED (
    SELECT t.event_id, t.timestamp, t.participants, t.views, t.engagement, t.conversions, t.cumulative_participants,
           piece.before + sum(t.participants) OVER (ORDER BY t.timestamp) AS cumulative
      FROM piece JOIN public.timeline_data t ON t.event_id = piece.event_id
     WHERE t.timestamp >= piece.since AND t.timestamp < piece.until
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
    SELECT piece.event_no, quarters.* FROM quarters CROSS JOIN piece ORDER BY quarter
        ON CONFLICT (event_no, quarter) DO UPDATE SET participants = excluded.participants, views = excluded.views,
           engagement = excluded.engagement, conversions = excluded.conversions
     WHERE (q.participants, q.views, q.engagement, q.conversions)
           <> (excluded.participants, excluded.views, excluded.engagement, excluded.conversions)
), removed AS (
    DELETE FROM hannun.timeline_quarters q USING piece
     WHERE q.event_no = piece.event_no AND q.quarter >= piece.since AND q.quarter < piece.until
       AND NOT EXISTS (SELECT FROM quarters WHERE quarters.quarter = q.quarter)
), settled AS (
    UPDATE hannun.events SET cumulative_owed_from = piece.until FROM piece WHERE events.event_no = piece.event_no
)
SELECT (SELECT count(*) FROM repaired), until < '9999-01-01' FROM piece;

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
