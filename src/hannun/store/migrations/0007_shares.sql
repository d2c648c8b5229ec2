-- Links that open one event to whoever has them, read-only, until a date. Beside the contract: no log tells of them, so a
-- replay's swap carries them over. The secret is kept as its hash alone. `user_id` is whose event it was then: a link
-- ends with the ownership. The newest that were revoked or ran out stay: they say who had opened what to others.

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
