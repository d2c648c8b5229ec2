-- insert_code --
-- Adds a sign-in code.
INSERT INTO hannun.sign_in_codes (code_hash, user_id, roles, expires_at)
VALUES (%(code_hash)s, %(user_id)s, %(roles)s, clock_timestamp() + make_interval(secs => %(lasts_s)s));

-- delete_expired_codes --
-- Codes that nobody has used in time.
DELETE FROM hannun.sign_in_codes WHERE expires_at <= clock_timestamp();

-- use_code --
-- Takes a code: of several callers at the same time, one gets the row.
DELETE FROM hannun.sign_in_codes WHERE code_hash = %(code_hash)s AND expires_at > clock_timestamp()
RETURNING user_id, roles;

-- insert_ended --
-- Records that a session has ended. Ending it again changes nothing.
INSERT INTO hannun.ended_sessions (token_hash, ended_at, expires_at)
VALUES (%(token_hash)s, clock_timestamp(), %(expires_at)s) ON CONFLICT DO NOTHING;

-- delete_expired_sessions --
-- Sessions whose token has expired need no record.
DELETE FROM hannun.ended_sessions WHERE expires_at < clock_timestamp() - interval '1 hour';

-- ended_since --
-- The sessions that have ended within so many seconds, with the instants when their tokens expire (seconds since 1970).
SELECT token_hash, extract(epoch FROM expires_at)::double precision FROM hannun.ended_sessions
 WHERE ended_at >= clock_timestamp() - make_interval(secs => %(back_s)s);

-- all_ended --
-- All sessions that have ended, likewise.
SELECT token_hash, extract(epoch FROM expires_at)::double precision FROM hannun.ended_sessions;
