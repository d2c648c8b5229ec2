-- know_channel --
-- A known channel by its name and type. One that messages named before it was known keeps its number. Answers it where
-- something changed.
INSERT INTO hannun.channels (key, name, channel_type) VALUES (%(key)s, %(name)s, %(type)s)
    ON CONFLICT (key) DO UPDATE SET name = excluded.name, channel_type = excluded.channel_type
    WHERE (channels.name, channels.channel_type) IS DISTINCT FROM (excluded.name, excluded.channel_type)
RETURNING channel_no;

-- name_of_channel --
-- Under which name a channel was known so far.
SELECT name FROM hannun.channels WHERE key = %(key)s;

-- rename_channel --
-- The channel's rows under its new name and type.
UPDATE public.channel_stats SET channel_name = %(name)s, channel_type = %(type)s, updated_at = clock_timestamp()
 WHERE channel_name = %(was)s AND (channel_name, channel_type) IS DISTINCT FROM (%(name)s, %(type)s);

-- retype_distributions --
-- The type of a known channel is that of the table, whatever a producer said before it was known.
UPDATE hannun.distributions d SET channel_type = c.channel_type
  FROM hannun.channels c WHERE c.channel_no = d.channel_no AND c.key = %(key)s AND d.channel_type <> c.channel_type;

-- hold_events_of_channel --
-- Hold the events that know a channel, in the order in which every writer holds them.
SELECT e.event_no FROM hannun.events e JOIN public.channel_stats s USING (event_id)
 WHERE s.channel_name = %(was)s ORDER BY e.event_no FOR UPDATE OF e;

-- touch_events_of_channel --
-- The answers of events that show a channel are false: a new version, and a debt.
WITH touched AS (
    UPDATE hannun.events e
       SET version = greatest(e.version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
      FROM public.channel_stats s WHERE s.event_id = e.event_id AND s.channel_name = %(name)s
    RETURNING e.event_id, e.user_id, e.version
)
INSERT INTO hannun.owed_invalidations (events)
SELECT jsonb_object_agg(event_id, jsonb_build_object('userId', user_id, 'version', version,
                                                     'channels', jsonb_build_array(%(name)s::text, %(was)s::text)))
  FROM touched HAVING count(*) > 0;
