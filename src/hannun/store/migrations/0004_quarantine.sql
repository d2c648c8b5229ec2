-- A partition that was stopped for what it sends stays stopped until an operator decides; one that was stopped for where it
-- stands goes on by itself as soon as that is right again.
ALTER TABLE hannun.stopped_partitions ADD COLUMN until_decided boolean NOT NULL DEFAULT false;
