-- newest --
-- Dead letters, newest first; resolved ones only where `resolved_too`.
SELECT dead_letter_no, created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at,
       size_bytes, hash, fields, resolution, resolved_at, resolved_by, sealed_amounts
  FROM hannun.dead_letters
 WHERE (%(reason)s::text IS NULL OR reason = %(reason)s) AND (%(resolved_too)s OR resolved_at IS NULL)
 ORDER BY dead_letter_no DESC LIMIT %(limit)s;

-- find_open --
-- The open dead letters of these numbers and of this reason; NULL means any.
SELECT dead_letter_no, created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at,
       size_bytes, hash, fields, resolution, resolved_at, resolved_by, sealed_amounts
  FROM hannun.dead_letters
 WHERE resolved_at IS NULL AND (%(nos)s::bigint[] IS NULL OR dead_letter_no = ANY(%(nos)s::bigint[]))
   AND (%(reason)s::text IS NULL OR reason = %(reason)s)
 ORDER BY dead_letter_no;

-- find --
-- The dead letter of a number.
SELECT dead_letter_no, created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at,
       size_bytes, hash, fields, resolution, resolved_at, resolved_by, sealed_amounts
  FROM hannun.dead_letters WHERE dead_letter_no = %(no)s;

-- count --
-- How many dead letters there are; resolved ones only where `resolved_too`.
SELECT count(*) FROM hannun.dead_letters
 WHERE (%(reason)s::text IS NULL OR reason = %(reason)s) AND (%(resolved_too)s OR resolved_at IS NULL);

-- count_open_by_reason --
-- How many dead letters are open, by their reason; at most `limit` of the newest are counted.
SELECT reason, count(*)::int
  FROM (SELECT reason FROM hannun.dead_letters WHERE resolved_at IS NULL
         ORDER BY dead_letter_no DESC LIMIT %(limit)s) AS open
 GROUP BY reason ORDER BY 2 DESC, 1;

-- resolve --
-- Close a dead letter: a retry has counted its message, or an operator drops it. The row stays as a record.
UPDATE hannun.dead_letters
   SET resolved_at = clock_timestamp(), resolution = %(resolution)s, resolved_by = %(by)s
 WHERE dead_letter_no = %(no)s AND resolved_at IS NULL;

-- resolve_counted --
-- Close the open dead letters whose messages were read again from Kafka and counted.
UPDATE hannun.dead_letters l
   SET resolved_at = clock_timestamp(), resolution = 'retried', resolved_by = %(by)s
  FROM unnest(%(topics)s::text[], %(topic_ids)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
       AS counted (topic, topic_id, partition, record_offset)
 WHERE l.resolved_at IS NULL AND l.topic = counted.topic AND l.topic_id = counted.topic_id
   AND l.partition = counted.partition AND l.record_offset = counted.record_offset;

-- unpublished --
-- Dead letters that were not published to the dead letter topic yet, oldest first.
SELECT dead_letter_no, created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at,
       size_bytes, hash, fields, resolution, resolved_at, resolved_by, sealed_amounts
  FROM hannun.dead_letters WHERE published_at IS NULL ORDER BY dead_letter_no LIMIT %(limit)s;

-- mark_published --
-- Mark dead letters as published, after the broker has acknowledged them.
UPDATE hannun.dead_letters SET published_at = clock_timestamp()
 WHERE dead_letter_no = ANY(%(nos)s::bigint[]) AND published_at IS NULL;
