-- event_keys --
-- The integer keys of events.
SELECT event_id, event_no FROM hannun.events WHERE event_id = ANY(%(event_ids)s::text[]);

-- add_events --
-- Insert events that have no key yet; ids of them may be forgotten already, in another database. In the order of their ids, so
-- that two writers cannot deadlock. The lock on amount_encryption makes a change of it wait for this transaction, and the other
-- way round.
INSERT INTO hannun.events (event_id, forgotten, amounts_sealed)
SELECT event_id, (SELECT count(*) FROM hannun.forgotten f WHERE f.kind = 'participant' AND f.event_id = wanted.event_id),
       (SELECT seals FROM hannun.amount_encryption FOR SHARE)
  FROM unnest(%(event_ids)s::text[]) AS wanted (event_id) ORDER BY event_id
    ON CONFLICT (event_id) DO NOTHING;

-- channel_keys --
-- Keys, names and types of channels; the type is NULL where only a distribution can tell it.
SELECT key, channel_no, name, channel_type FROM hannun.channels WHERE key = ANY(%(keys)s::text[]);

-- add_channels --
-- Insert channels that have no key yet. In the order of their names' keys, so that two writers cannot deadlock.
INSERT INTO hannun.channels (key, name)
SELECT key, name FROM unnest(%(keys)s::text[], %(names)s::text[]) AS wanted (key, name) ORDER BY key
    ON CONFLICT (key) DO NOTHING;
