-- register_channel --
-- Insert a known channel, or correct its name and type. A channel that messages named before keeps its number. Returns a row
-- only where something changed.
INSERT INTO hannun.channels (key, name, channel_type) VALUES (%(key)s, %(name)s, %(type)s)
    ON CONFLICT (key) DO UPDATE SET name = excluded.name, channel_type = excluded.channel_type
    WHERE (channels.name, channels.channel_type) IS DISTINCT FROM (excluded.name, excluded.channel_type)
RETURNING channel_no;

-- channel_name --
-- The name under which a channel is registered so far.
SELECT name FROM hannun.channels WHERE key = %(key)s;

-- rename_channel_stats --
-- Give the rows of a channel in channel_stats its new name and type.
UPDATE public.channel_stats SET channel_name = %(name)s, channel_type = %(type)s, updated_at = clock_timestamp()
 WHERE channel_name = %(old_name)s AND (channel_name, channel_type) IS DISTINCT FROM (%(name)s, %(type)s);

-- correct_distribution_types --
-- The type of a known channel comes from the table, not from what a producer sent before the channel was known.
UPDATE hannun.distributions d SET channel_type = c.channel_type
  FROM hannun.channels c WHERE c.channel_no = d.channel_no AND c.key = %(key)s AND d.channel_type <> c.channel_type;

-- lock_events_of_channel --
-- Lock the events that have a row of a channel, in the order of event_no: every writer locks events in that order.
SELECT e.event_no FROM hannun.events e JOIN public.channel_stats s USING (event_id)
 WHERE s.channel_name = %(old_name)s ORDER BY e.event_no FOR UPDATE OF e;

-- invalidate_events_of_channel --
-- The cached answers of events that show a channel are outdated: a new version for each event, and one outbox entry.
WITH touched AS (
    UPDATE hannun.events e
       SET version = greatest(e.version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
      FROM public.channel_stats s WHERE s.event_id = e.event_id AND s.channel_name = %(name)s
    RETURNING e.event_id, e.user_id, e.version
)
INSERT INTO hannun.owed_invalidations (events)
SELECT jsonb_object_agg(event_id, jsonb_build_object('userId', user_id, 'version', version,
                                                     'channels', jsonb_build_array(%(name)s::text, %(old_name)s::text)))
  FROM touched HAVING count(*) > 0;

-- lock_events_to_attribute --
-- Lock the events that have untyped participants of a channel whose type is known by now.
SELECT event_no FROM hannun.events
 WHERE event_no IN (SELECT u.event_no FROM hannun.untyped_participants u JOIN hannun.channels c USING (channel_no)
                     WHERE c.channel_type IS NOT NULL)
 ORDER BY event_no FOR UPDATE;

-- attribute_untyped_participants --
-- Move untyped participants to their channels, and write an outbox entry for their events. The caller has locked the events.
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
), outbox_entry AS (
    INSERT INTO hannun.owed_invalidations (events)
    SELECT jsonb_object_agg(event_id, jsonb_build_object('userId', user_id, 'version', version, 'channels', channels))
      FROM counted HAVING count(*) > 0
)
SELECT coalesce(sum(participants), 0) FROM moved;
