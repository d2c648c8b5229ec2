-- owns --
-- Whether this role may act as the owner of a database.
SELECT pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database WHERE datname = %(name)s;

-- accepts_connections --
-- Whether a database accepts connections.
SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = %(name)s;

-- sessions --
-- Sessions in databases by role, except some backends. The server's own workers have no role, and do not block a rename.
SELECT usename, count(*) FROM pg_catalog.pg_stat_activity
 WHERE datname = ANY(%(names)s::text[]) AND pid <> ALL(%(but)s::int[]) AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
 GROUP BY usename ORDER BY usename;

-- lock_out_writers --
-- Block all writers; readers go on. Tables are locked in the order in which a batch locks them.
LOCK TABLE hannun.positions, hannun.events, hannun.dead_letters, hannun.position_decisions, hannun.shares,
           hannun.stopped_topics, hannun.ended_sessions, hannun.channel_breakers, hannun.channel_outages, hannun.channel_budgets,
           hannun.audit_subjects, hannun.audit_log
  IN EXCLUSIVE MODE;
