-- squawk-ignore-file ban-drop-not-null, constraint-missing-not-valid
-- Amounts of money may be stored encrypted ("sealed"): beside each amount stands a column for its sealed form. Nothing is encrypted
-- before `hannun amounts encrypt`.
ALTER TABLE hannun.events
    ADD COLUMN amounts_sealed boolean NOT NULL DEFAULT false,
    ADD COLUMN sealed_plan    bytea,
    ADD COLUMN sealed_revenue bytea;
ALTER TABLE hannun.events ADD CONSTRAINT events_sealed_check CHECK (
    CASE WHEN amounts_sealed
         THEN total_investment IS NULL AND expected_revenue IS NULL AND baseline_revenue IS NULL AND recorded_revenue = 0
         ELSE sealed_plan IS NULL AND sealed_revenue IS NULL END);
ALTER TABLE hannun.distributions ADD COLUMN sealed_cost bytea;
ALTER TABLE hannun.distributions ADD CONSTRAINT distributions_sealed_check CHECK (cost IS NULL OR sealed_cost IS NULL);
ALTER TABLE hannun.sales ALTER COLUMN amount DROP NOT NULL, ADD COLUMN sealed_amount bytea;
ALTER TABLE hannun.sales ADD CONSTRAINT sales_amount_check CHECK ((amount IS NULL) = (sealed_amount IS NOT NULL));
ALTER TABLE hannun.dead_letters ADD COLUMN sealed_amounts bytea;

-- One row: whether the amounts of new events and dead letters are sealed.
CREATE TABLE hannun.amount_encryption (
    is_the_only_row boolean   PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    seals           boolean   NOT NULL DEFAULT false,
    changed_at      timestamp NOT NULL DEFAULT now()
);
INSERT INTO hannun.amount_encryption DEFAULT VALUES;

-- The keys of the operator's key ring with which amounts may be sealed. Every process needs them.
CREATE TABLE hannun.amount_keys (
    key_id     text      NOT NULL PRIMARY KEY,
    used_since timestamp NOT NULL DEFAULT now()
);

-- The runs of `hannun amounts encrypt`, `decrypt` and `rotate`. One is open at a time; a run that was interrupted stays open.
CREATE TABLE hannun.amount_sweeps (
    sweep_no     integer   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation    text      NOT NULL CHECK (operation IN ('encrypt', 'decrypt', 'rotate')),
    epoch        integer   NOT NULL DEFAULT 1,
    run_by       text      NOT NULL,
    started_at   timestamp NOT NULL,
    heartbeat_at timestamp NOT NULL,
    ended_at     timestamp,
    finished     boolean   NOT NULL DEFAULT false,
    rows_changed bigint    NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX amount_sweeps_open ON hannun.amount_sweeps ((true)) WHERE ended_at IS NULL;

-- locks: hannun.dead_letters ACCESS EXCLUSIVE
-- locks: hannun.distributions ACCESS EXCLUSIVE, scanned
-- locks: hannun.events ACCESS EXCLUSIVE, scanned
-- locks: hannun.sales ACCESS EXCLUSIVE, scanned
