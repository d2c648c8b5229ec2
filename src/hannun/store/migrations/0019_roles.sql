-- Roles for backups and for monitoring, and from which schema version on processes may use this schema.

-- Which processes may use this schema: those whose own newest version is at least `oldest_version`. So a process of the
-- version before can start while the new one is deployed. A migration that such a process would not survive raises it.
CREATE TABLE hannun.schema_compatibility (
    is_the_only_row boolean     PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    oldest_version  varchar(32) NOT NULL
);
INSERT INTO hannun.schema_compatibility (oldest_version) VALUES ('0019');
REVOKE INSERT, UPDATE, DELETE ON hannun.schema_compatibility, hannun.schema_version FROM analytics_readwrite;

-- Figures without any id, for a monitoring system that reads SQL. A view reads with the rights of its owner.
CREATE VIEW hannun.monitored_figures AS
SELECT 'pending_invalidations' AS figure, count(*)::double precision AS value FROM hannun.owed_invalidations
 UNION ALL
SELECT 'stopped_partitions', count(*) FROM hannun.stopped_partitions
 UNION ALL
SELECT 'stopped_topics', count(*) FROM hannun.stopped_topics WHERE forgotten_at IS NULL
 UNION ALL
SELECT 'open_dead_letters', count(*) FROM hannun.dead_letters WHERE resolved_at IS NULL
 UNION ALL
SELECT 'partitions_of_the_timeline', count(*) FROM pg_catalog.pg_inherits
 WHERE inhparent = 'public.timeline_data'::regclass AND NOT inhdetachpending;

-- Roles belong to the whole server, so they may exist for another database. `hannun migrate` sets their passwords.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analytics_backup') THEN
        CREATE ROLE analytics_backup LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analytics_monitor') THEN
        CREATE ROLE analytics_monitor LOGIN;
    END IF;
END $$;

-- A dump reads every table and every sequence, also those of later migrations.
GRANT USAGE ON SCHEMA public, hannun TO analytics_backup;
GRANT SELECT ON ALL TABLES IN SCHEMA public, hannun TO analytics_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, hannun TO analytics_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO analytics_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO analytics_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA hannun GRANT SELECT ON TABLES TO analytics_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA hannun GRANT SELECT ON SEQUENCES TO analytics_backup;

GRANT USAGE ON SCHEMA hannun TO analytics_monitor;
GRANT SELECT ON hannun.monitored_figures, hannun.schema_version TO analytics_monitor;

-- locks: nothing
