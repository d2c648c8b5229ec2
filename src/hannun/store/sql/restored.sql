-- set_time_zone --
-- Sessions of this database get the time zone UTC, where no role or client sets another one.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'UTC'); END $$;

-- raise_epochs --
-- Raise the epochs of all positions above those that consumers may still hold: the seconds since 1970 are more than there were
-- claims. No consumer owns a partition any more: each claims its partitions again, and resumes at the restored positions.
UPDATE hannun.positions
   SET epoch = greatest(epoch, extract(epoch FROM clock_timestamp())::bigint) + 1, owner = '', updated_at = clock_timestamp();

-- raise_epoch --
-- Raise the epoch of a restored position above the one that the live database had given it.
UPDATE hannun.positions SET epoch = greatest(epoch, %(epoch)s) + 1 WHERE topic = %(topic)s AND partition = %(partition)s;

-- raise_versions --
-- Raise the versions of all events above all that answers were made of: a version is a microsecond of the past.
UPDATE hannun.events SET version = greatest(version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) + 1;

-- raise_versions_above --
-- The same where the live database has given higher ones, because its clock was ahead.
UPDATE hannun.events e SET version = live.version + 1
  FROM unnest(%(event_ids)s::text[], %(versions)s::bigint[]) AS live (event_id, version)
 WHERE e.event_id = live.event_id AND e.version <= live.version;

-- delete_sign_in_codes --
-- Each code works once, and some of these were used after the backup was made.
DELETE FROM hannun.sign_in_codes;

-- positions --
-- The restored positions.
SELECT topic, partition, topic_id, next_offset FROM hannun.positions ORDER BY topic, partition;

-- first_positions --
-- Where operators have let partitions begin that had no position, the oldest decision about each.
SELECT DISTINCT ON (topic, partition) topic, partition, topic_id, goes_on_at AS next_offset
  FROM hannun.position_decisions
 WHERE was_at IS NULL AND goes_on_at IS NOT NULL AND topic_id IS NOT NULL ORDER BY topic, partition, decision_no;

-- add_position --
-- Let a partition that the backup does not know begin where an operator has decided since.
INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, owner)
VALUES (%(topic)s, %(partition)s, %(topic_id)s, %(next_offset)s, '') ON CONFLICT (topic, partition) DO NOTHING;
