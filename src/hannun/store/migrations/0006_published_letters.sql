-- Dead letters are also published to a topic, where a setting names one. They are marked when the broker has acknowledged them.

ALTER TABLE hannun.dead_letters ADD COLUMN published_at timestamp;

CREATE INDEX dead_letters_unpublished ON hannun.dead_letters (dead_letter_no) WHERE published_at IS NULL;

-- locks: hannun.dead_letters ACCESS EXCLUSIVE, scanned
