-- squawk-ignore-file ban-drop-not-null, ban-drop-default
-- A figure that no message has said is NULL, and no longer 0. The columns of the contract keep 0 for it. The zeros of before cannot
-- be told apart from those that a message has said, so they stay: `hannun replay --into shadow` and `replay swap` correct them.
ALTER TABLE hannun.events
    ALTER COLUMN total_investment DROP NOT NULL, ALTER COLUMN total_investment DROP DEFAULT,
    ALTER COLUMN expected_revenue DROP NOT NULL, ALTER COLUMN expected_revenue DROP DEFAULT,
    ALTER COLUMN target_roi DROP NOT NULL, ALTER COLUMN target_roi DROP DEFAULT;
ALTER TABLE hannun.distributions ALTER COLUMN cost DROP NOT NULL;

-- These zeros are known to say nothing: no event-created message of the event has arrived.
UPDATE hannun.events SET total_investment = NULL, expected_revenue = NULL, target_roi = NULL WHERE plan_at IS NULL;

-- locks: hannun.distributions ACCESS EXCLUSIVE
-- locks: hannun.events ACCESS EXCLUSIVE, written
