-- add_entry --
-- The cached answers that this batch makes false, to be invalidated after the commit. The default of `owed_at` is the start of
-- the transaction, which a large batch leaves a second behind.
INSERT INTO hannun.owed_invalidations (owed_at, events) VALUES (clock_timestamp(), %(events)s) RETURNING owed_no;

-- commit_without_flush --
-- The commit of this transaction does not wait for the disk.
SET LOCAL synchronous_commit = off;

-- delete_entries --
-- Redis has acknowledged these invalidations.
DELETE FROM hannun.owed_invalidations WHERE owed_no = ANY(%(entry_nos)s::bigint[]);

-- pending_entries --
-- Invalidations that were not delivered in time: their process is dead, or Redis was unavailable. An event takes about 80
-- bytes of an entry, so one of 1,000 events or more has twice the time, and is rarely delivered a second time while its
-- process does it. Not more: a dead writer leaves wrong answers meanwhile.
SELECT owed_no, events FROM hannun.owed_invalidations
 WHERE owed_at < clock_timestamp()
                 - make_interval(secs => %(older_than_s)s * least(2, 1 + pg_column_size(events) / 80000.0))
 ORDER BY owed_no LIMIT %(limit)s;

-- count_entries --
-- How many batches have invalidations that are not delivered.
SELECT count(*) FROM hannun.owed_invalidations;
