-- participant_key --
-- The key that hashes participant ids.
SELECT participant_key FROM hannun.identity;

-- amount_form --
-- Whether amounts are sealed, and whether `hannun amounts` is converting them.
SELECT seals, EXISTS (SELECT FROM hannun.amount_sweeps WHERE ended_at IS NULL) FROM hannun.amount_encryption;

-- set_seals --
-- Seal amounts, or not, as the live database does.
UPDATE hannun.amount_encryption SET seals = %(seals)s, changed_at = clock_timestamp();

-- packing --
-- Whether participants are packed, and which processes may use the database.
SELECT packs, oldest_version FROM hannun.participant_packing CROSS JOIN hannun.schema_compatibility;

-- set_packing --
-- Pack participants, or not, and let the same processes start as the live database does. This database packs nothing yet.
WITH compatible AS (UPDATE hannun.schema_compatibility SET oldest_version = %(oldest_version)s)
UPDATE hannun.participant_packing SET packs = %(packs)s, changed_at = clock_timestamp();

-- set_participant_key --
-- Hash participants with the key of the live database: with another key every participant would be a new one.
UPDATE hannun.identity SET participant_key = %(key)s;
