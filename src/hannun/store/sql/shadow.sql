-- participant_key --
-- The key that hashes participant ids.
SELECT participant_key FROM hannun.identity;

-- amount_form --
-- Whether amounts are sealed, and whether `hannun amounts` is converting them.
SELECT seals, EXISTS (SELECT FROM hannun.amount_sweeps WHERE ended_at IS NULL) FROM hannun.amount_encryption;

-- set_seals --
-- Seal amounts, or not, as the live database does.
UPDATE hannun.amount_encryption SET seals = %(seals)s, changed_at = clock_timestamp();

-- set_participant_key --
-- Hash participants with the key of the live database: with another key every participant would be a new one.
UPDATE hannun.identity SET participant_key = %(key)s;
