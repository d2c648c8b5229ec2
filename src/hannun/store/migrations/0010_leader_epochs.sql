-- squawk-ignore-file ban-drop-not-null
-- Positions that can be checked: beside each the epoch of the leader that took the last counted record, by which the broker
-- tells whether its log was cut off below and has grown again. NULL where it is not known; then nobody asks.
ALTER TABLE hannun.positions ADD COLUMN leader_epoch integer;

-- A log that was cut off, or has lost records that nobody counted, waits until an operator decides. Those that wait now too.
UPDATE hannun.stopped_partitions SET until_decided = true
 WHERE why LIKE '%: it was cut off%' OR why LIKE '%were removed before they were counted';

-- An operator may also decide that nobody waits any longer for a partition that Kafka has no more: it goes on nowhere.
ALTER TABLE hannun.position_decisions ALTER COLUMN goes_on_at DROP NOT NULL;
ALTER TABLE hannun.position_decisions ALTER COLUMN topic_id DROP NOT NULL;
