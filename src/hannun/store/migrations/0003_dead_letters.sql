-- Dead letters can be resolved: each is open until a retry counts its message, or an operator drops it.

ALTER TABLE hannun.dead_letters ADD COLUMN resolved_at timestamp;
ALTER TABLE hannun.dead_letters ADD COLUMN resolution text;
ALTER TABLE hannun.dead_letters ADD COLUMN resolved_by text;
ALTER TABLE hannun.dead_letters ADD CONSTRAINT dead_letters_resolution_check
    CHECK (resolution IN ('retried', 'dropped')) NOT VALID;
ALTER TABLE hannun.dead_letters VALIDATE CONSTRAINT dead_letters_resolution_check;

CREATE INDEX dead_letters_open ON hannun.dead_letters (dead_letter_no DESC) WHERE resolved_at IS NULL;

CREATE OR REPLACE VIEW hannun.dead_letter_reasons AS
SELECT kind, reason, count(*) AS messages, max(created_at) AS newest_at,
       count(*) FILTER (WHERE resolved_at IS NULL) AS open
  FROM hannun.dead_letters GROUP BY kind, reason;

-- locks: hannun.dead_letters ACCESS EXCLUSIVE, scanned
