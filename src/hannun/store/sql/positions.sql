-- claim --
-- Claims a partition: from here on only the new epoch moves its position. No row where it was never read.
UPDATE hannun.positions SET epoch = epoch + 1, owner = %(owner)s, updated_at = clock_timestamp()
 WHERE topic = %(topic)s AND partition = %(partition)s
RETURNING epoch, topic_id, next_offset, leader_epoch;

-- start --
-- A partition's first position, under its first owner. No row where another owner has started it, or an operator has
-- decided, meanwhile.
INSERT INTO hannun.positions (topic, partition, topic_id, next_offset, owner, epoch)
VALUES (%(topic)s, %(partition)s, %(topic_id)s, %(next_offset)s, %(owner)s, 1)
    ON CONFLICT (topic, partition) DO NOTHING
RETURNING epoch;

-- added --
-- Whether a partition that was never read was added to a topic that was read: others of this very topic have a position,
-- and this one is not stopped for want of a start.
SELECT EXISTS (SELECT FROM hannun.positions WHERE topic = %(topic)s AND topic_id = %(topic_id)s)
   AND NOT EXISTS (SELECT FROM hannun.stopped_partitions WHERE topic = %(topic)s AND partition = %(partition)s);

-- own --
-- A row where the epoch is still the partition's, locked until the end of the transaction.
SELECT 1 FROM hannun.positions
 WHERE topic = %(topic)s AND partition = %(partition)s AND epoch = %(epoch)s FOR UPDATE;

-- stop --
-- A partition waits for an operator.
INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by, until_decided)
VALUES (%(topic)s, %(partition)s, %(why)s, %(hint)s, %(owner)s, %(until_decided)s)
    ON CONFLICT (topic, partition) DO UPDATE SET why = excluded.why, hint = excluded.hint, found_by = excluded.found_by,
       until_decided = excluded.until_decided;

-- undecided --
-- Why a partition waits until an operator decides, whatever its position; no row where it does not.
SELECT why, hint FROM hannun.stopped_partitions
 WHERE topic = %(topic)s AND partition = %(partition)s AND until_decided;

-- remove_stop --
-- A partition no longer waits.
DELETE FROM hannun.stopped_partitions WHERE topic = %(topic)s AND partition = %(partition)s;

-- clear_stopped --
-- No partition waits.
DELETE FROM hannun.stopped_partitions;

-- stopped_partitions --
-- Partitions that wait for an operator.
SELECT topic, partition, why, hint, stopped_at FROM hannun.stopped_partitions ORDER BY topic, partition;

-- count_stopped_by_topic --
-- How many partitions of each topic that was ever read wait for an operator.
SELECT topic, count(s.topic)
  FROM hannun.positions p FULL JOIN hannun.stopped_partitions s USING (topic, partition)
 GROUP BY topic;

-- known_positions --
-- The positions of the partitions of topics.
SELECT topic, partition, topic_id, next_offset, leader_epoch FROM hannun.positions WHERE topic = ANY(%(topics)s::text[]);

-- list_positions --
-- How far each partition is counted, and which wait for an operator.
SELECT coalesce(p.topic, s.topic), coalesce(p.partition, s.partition), p.topic_id, p.next_offset, p.epoch, p.owner,
       p.updated_at, s.why
  FROM hannun.positions p FULL JOIN hannun.stopped_partitions s
    ON s.topic = p.topic AND s.partition = p.partition
 ORDER BY 1, 2;

-- set_position --
-- An operator decides where reading resumes. The epoch rises, so the present owner releases the partition and resumes here.
INSERT INTO hannun.positions AS p (topic, partition, topic_id, next_offset, owner)
VALUES (%(topic)s, %(partition)s, %(topic_id)s, %(goes_on_at)s, '')
    ON CONFLICT (topic, partition) DO UPDATE SET topic_id = excluded.topic_id, next_offset = excluded.next_offset,
       leader_epoch = NULL, owner = '', epoch = p.epoch + 1, updated_at = clock_timestamp();

-- lock_position --
-- A partition's position, locked until the decision is written.
SELECT next_offset FROM hannun.positions WHERE topic = %(topic)s AND partition = %(partition)s FOR UPDATE;

-- record_decision --
-- The decision, on record.
INSERT INTO hannun.position_decisions (decided_by, topic, partition, topic_id, was_at, goes_on_at, how)
VALUES (%(decided_by)s, %(topic)s, %(partition)s, %(topic_id)s, %(was_at)s, %(goes_on_at)s, %(how)s);
