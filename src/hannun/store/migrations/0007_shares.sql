-- Share links: each gives its holders read access to one event until a date. No log holds them, so the swap of a replay copies
-- them. Only the hash of the secret is stored. `user_id` is the owner of the event when the link was made: the link ends when
-- the owner changes. The newest revoked and expired links stay, as a record of who shared what.

CREATE TABLE hannun.shares (
    share_id    text      NOT NULL PRIMARY KEY,
    event_id    text      NOT NULL,
    user_id     text      NOT NULL,
    secret_hash bytea     NOT NULL UNIQUE,
    label       text      NOT NULL,
    created_at  timestamp NOT NULL,
    created_by  text      NOT NULL,
    expires_at  timestamp NOT NULL,
    revoked_at  timestamp
);
CREATE INDEX shares_of_event ON hannun.shares (event_id, created_at DESC);

-- locks: nothing
