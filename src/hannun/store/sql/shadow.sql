-- participant_key --
-- The key that hashes participant ids.
SELECT participant_key FROM hannun.identity;

-- set_participant_key --
-- Hash participants with the key of the live database: with another key every participant would be a new one.
UPDATE hannun.identity SET participant_key = %(key)s;
