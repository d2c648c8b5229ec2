-- form --
-- Whether the amounts of new events and dead letters are sealed now.
SELECT seals FROM hannun.amount_encryption;

-- seals --
-- Whether the amounts of new events and dead letters are sealed. The lock makes a change of it wait for this transaction.
SELECT seals FROM hannun.amount_encryption FOR SHARE;

-- keys --
-- The keys with which amounts may be sealed.
SELECT key_id FROM hannun.amount_keys ORDER BY used_since, key_id;

-- record_key --
-- A key with which amounts may be sealed from now on.
INSERT INTO hannun.amount_keys (key_id) VALUES (%(key_id)s) ON CONFLICT (key_id) DO NOTHING;

-- all_sealed --
-- Whether all amounts are sealed: new ones are, and those of before are not still being encrypted.
SELECT seals AND NOT EXISTS (SELECT FROM hannun.amount_sweeps WHERE ended_at IS NULL AND operation = 'encrypt')
  FROM hannun.amount_encryption;
