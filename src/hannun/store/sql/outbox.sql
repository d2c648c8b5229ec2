-- settle_without_waiting --
-- This transaction need not be on the disk when we go on.
SET LOCAL synchronous_commit = off;

-- settle_debts --
-- These invalidations are paid.
DELETE FROM hannun.owed_invalidations WHERE owed_no = ANY(%(owed_nos)s::bigint[]);

-- old_debts --
-- Invalidations that whoever owed them should have paid by now: their writer is dead, or Redis was away.
SELECT owed_no, events FROM hannun.owed_invalidations
 WHERE owed_at < clock_timestamp() - make_interval(secs => %(older_than_s)s) ORDER BY owed_no LIMIT %(limit)s;

-- count_debts --
-- How many batches have invalidations that are not paid yet.
SELECT count(*) FROM hannun.owed_invalidations;
