-- begin --
-- Set a transaction's limits, in milliseconds; 0 is no limit. Returns the identity of the database and of the server's run.
SELECT set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(statement)s, true),
       (SELECT oid FROM pg_database WHERE datname = current_database()), pg_postmaster_start_time();
