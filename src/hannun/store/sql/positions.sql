-- claim --
-- Take a partition over: from here on only our epoch moves its position. No row where it has none yet, or where its
-- topic was made anew.
UPDATE hannun.positions SET epoch = epoch + 1, owner = %(owner)s, updated_at = clock_timestamp()
 WHERE topic = %(topic)s AND partition = %(partition)s AND topic_id = %(topic_id)s
RETURNING next_offset, epoch;

-- found --
-- What is known of a partition, whatever its topic's identity.
SELECT topic_id, next_offset FROM hannun.positions WHERE topic = %(topic)s AND partition = %(partition)s;

-- begin --
-- A partition's first position.
INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, owner)
VALUES (%(topic)s, %(partition)s, %(topic_id)s, %(next_offset)s, '')
    ON CONFLICT DO NOTHING;
