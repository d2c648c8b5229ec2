-- A partition that was stopped because of its messages stays stopped until an operator decides. A partition that was stopped
-- because of its position resumes by itself as soon as the position is right again.
ALTER TABLE hannun.stopped_partitions ADD COLUMN until_decided boolean NOT NULL DEFAULT false;

-- locks: hannun.stopped_partitions ACCESS EXCLUSIVE
