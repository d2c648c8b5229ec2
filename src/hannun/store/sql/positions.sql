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

-- counted_partitions --
-- The partitions of topics that have a position.
SELECT topic, partition FROM hannun.positions WHERE topic = ANY(%(topics)s::text[]);

-- stop_topic --
-- A topic as a whole waits for an operator. What an operator has forgotten is reported again for another reason only.
INSERT INTO hannun.stopped_topics AS s (topic, why, hint, found_by)
VALUES (%(topic)s, %(why)s, %(hint)s, %(owner)s)
    ON CONFLICT (topic) DO UPDATE SET why = excluded.why, hint = excluded.hint, found_by = excluded.found_by,
       stopped_at = excluded.stopped_at, forgotten_by = NULL, forgotten_at = NULL
 WHERE s.why <> excluded.why;

-- remove_topic_stop --
-- A topic no longer waits as a whole.
DELETE FROM hannun.stopped_topics WHERE topic = %(topic)s;

-- remove_passing_stops --
-- Partitions of topics that do not exist wait for nothing of their own, except what only an operator may decide.
DELETE FROM hannun.stopped_partitions WHERE topic = ANY(%(topics)s::text[]) AND NOT until_decided;

-- forget_topic --
-- An operator gives up a topic that does not exist.
INSERT INTO hannun.stopped_topics AS s (topic, why, hint, found_by, forgotten_by, forgotten_at)
VALUES (%(topic)s, %(why)s, %(hint)s, %(by)s, %(by)s, clock_timestamp())
    ON CONFLICT (topic) DO UPDATE SET why = excluded.why, hint = excluded.hint, forgotten_by = excluded.forgotten_by,
       forgotten_at = excluded.forgotten_at;

-- stopped_topics --
-- Topics that wait for an operator as a whole, and those that one has forgotten.
SELECT topic, why, hint, stopped_at, forgotten_by, forgotten_at FROM hannun.stopped_topics ORDER BY topic;

-- count_stopped_by_topic --
-- How many partitions of each topic that was ever read wait for an operator: all that are known, and at least 1, where the
-- topic as a whole does.
SELECT topic, CASE WHEN t.topic IS NULL THEN count(p.stopped) ELSE count(*) END
  FROM (SELECT topic, s.topic AS stopped
          FROM hannun.positions FULL JOIN hannun.stopped_partitions s USING (topic, partition)) p
  FULL JOIN (SELECT topic FROM hannun.stopped_topics WHERE forgotten_at IS NULL) t USING (topic)
 GROUP BY topic, t.topic;

-- known_positions --
-- The positions of the partitions of topics.
SELECT topic, partition, topic_id, next_offset, leader_epoch FROM hannun.positions WHERE topic = ANY(%(topics)s::text[]);

-- list_positions --
-- How far each partition is counted, and which wait for an operator.
SELECT coalesce(p.topic, s.topic), coalesce(p.partition, s.partition), p.topic_id, p.next_offset, p.epoch, p.owner,
       p.updated_at, s.why, s.hint
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
INSERT INTO hannun.position_decisions (decided_by, topic, partition, topic_id, was_at, goes_on_at, how, skipped_from)
VALUES (%(decided_by)s, %(topic)s, %(partition)s, %(topic_id)s, %(was_at)s, %(goes_on_at)s, %(how)s, %(skipped_from)s);

-- resumptions --
-- Where operators let reading resume, oldest first, and from where on that skipped offsets.
SELECT topic, partition, topic_id, skipped_from, goes_on_at FROM hannun.position_decisions
 WHERE goes_on_at IS NOT NULL AND topic_id IS NOT NULL AND how NOT LIKE 'replay %%' ORDER BY decision_no;
