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

-- version_is_readable --
-- Whether this role may read the schema's version; NULL where there is none.
SELECT CASE WHEN to_regclass('hannun.schema_version') IS NOT NULL
            THEN has_table_privilege('hannun.schema_version', 'SELECT') END;
