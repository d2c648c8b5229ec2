-- squawk-ignore-file ban-drop-not-null
-- Positions that can be checked: each has the epoch of the leader that wrote the last counted record. With it the broker tells
-- whether the log was truncated below that record and has grown again. NULL where it is not known; then there is no check.
ALTER TABLE hannun.positions ADD COLUMN leader_epoch integer;

-- A truncated log, or one that lost records before they were counted, now waits until an operator decides, also where the
-- partition is stopped already.
UPDATE hannun.stopped_partitions SET until_decided = true
 WHERE why LIKE '%: it was cut off%' OR why LIKE '%were removed before they were counted';

-- An operator may also give up a partition that Kafka no longer has: then there is no offset at which reading resumes.
ALTER TABLE hannun.position_decisions ALTER COLUMN goes_on_at DROP NOT NULL;
ALTER TABLE hannun.position_decisions ALTER COLUMN topic_id DROP NOT NULL;

-- locks: hannun.position_decisions ACCESS EXCLUSIVE
-- locks: hannun.positions ACCESS EXCLUSIVE
-- locks: hannun.stopped_partitions ROW EXCLUSIVE, written
