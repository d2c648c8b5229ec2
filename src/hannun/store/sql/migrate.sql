-- know_channel --
-- A known channel by its name. One that messages named before it was known keeps its number.
INSERT INTO hannun.channels (key, name, channel_type) VALUES (%(key)s, %(name)s, %(type)s)
    ON CONFLICT (key) DO UPDATE SET name = excluded.name, channel_type = excluded.channel_type
    WHERE (channels.name, channels.channel_type) IS DISTINCT FROM (excluded.name, excluded.channel_type)
