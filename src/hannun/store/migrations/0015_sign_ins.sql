-- One-time codes that sign a browser in. Only the hash of a code is stored. Its row is deleted when it is used, so each works
-- once, whichever process is asked.
CREATE TABLE hannun.sign_in_codes (
    code_hash  bytea     NOT NULL PRIMARY KEY,
    user_id    text      NOT NULL,
    roles      text[]    NOT NULL,
    expires_at timestamp NOT NULL
);

-- Sessions that their user has ended before their token expires. All processes read this table. A row is deleted when the token
-- has expired.
CREATE TABLE hannun.ended_sessions (
    token_hash bytea     NOT NULL PRIMARY KEY,
    ended_at   timestamp NOT NULL,
    expires_at timestamp NOT NULL
);
CREATE INDEX ended_sessions_by_time ON hannun.ended_sessions (ended_at);

-- locks: nothing
