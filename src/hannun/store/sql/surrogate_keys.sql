-- event_numbers --
-- The numbers of events.
SELECT event_id, event_no FROM hannun.events WHERE event_id = ANY(%(event_ids)s::text[]);

-- add_events --
-- Numbers for events that were never told of. In the order of their ids, so that two writers cannot deadlock.
INSERT INTO hannun.events (event_id)
SELECT event_id FROM unnest(%(event_ids)s::text[]) AS told (event_id) ORDER BY event_id
    ON CONFLICT (event_id) DO NOTHING;

-- channel_numbers --
-- Numbers, names and types of channels; the type is NULL where only a distribution can tell it.
SELECT key, channel_no, name, channel_type FROM hannun.channels WHERE key = ANY(%(keys)s::text[]);

-- add_channels --
-- Numbers for channels that were never named.
INSERT INTO hannun.channels (key, name)
SELECT key, name FROM unnest(%(keys)s::text[], %(names)s::text[]) AS named (key, name) ORDER BY key
    ON CONFLICT (key) DO NOTHING;
