-- Which offsets a decision skips: from here up to `goes_on_at`. A replay passes over them. NULL where it skips none.
ALTER TABLE hannun.position_decisions ADD COLUMN skipped_from bigint;
UPDATE hannun.position_decisions SET skipped_from = coalesce(was_at, 0)
 WHERE goes_on_at > coalesce(was_at, 0) AND how NOT LIKE 'replay %';

-- locks: hannun.position_decisions ACCESS EXCLUSIVE, written
