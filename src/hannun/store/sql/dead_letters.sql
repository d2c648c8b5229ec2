-- newest --
-- Messages that could not be used, newest first.
SELECT dead_letter_no, created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at,
       size_bytes, hash, fields
  FROM hannun.dead_letters
 WHERE %(reason)s::text IS NULL OR reason = %(reason)s
 ORDER BY dead_letter_no DESC LIMIT %(limit)s;

-- one --
-- One of them.
SELECT dead_letter_no, created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at,
       size_bytes, hash, fields
  FROM hannun.dead_letters WHERE dead_letter_no = %(no)s;

-- count --
-- How many there are.
SELECT count(*) FROM hannun.dead_letters WHERE %(reason)s::text IS NULL OR reason = %(reason)s;
