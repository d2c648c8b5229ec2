-- live --
-- Owner and size of a database; no row where there is none.
SELECT pg_get_userbyid(datdba), pg_database_size(oid) FROM pg_catalog.pg_database WHERE datname = %(name)s;

-- lock --
-- The right to restore a database: one session at a time has it, until it ends.
SELECT pg_try_advisory_lock(hashtext('hannun.restore:' || %(name)s));

-- role_exists --
-- A row where the server has the role.
SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %(name)s;

-- not_ours --
-- Roles that exist, and as which this one may not act.
SELECT rolname FROM pg_catalog.pg_roles
 WHERE rolname = ANY(%(names)s::text[]) AND NOT pg_has_role(oid, 'USAGE') ORDER BY rolname;

-- not_creatable --
-- Extensions that this server does not have, or that this role may not create.
SELECT name FROM unnest(%(names)s::text[]) AS wanted (name)
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_available_extension_versions v
                    WHERE v.name = wanted.name
                      AND (v.trusted OR NOT v.superuser
                           OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)))
 ORDER BY name;

-- not_settable --
-- Roles that this role may not take, so that it can give them nothing. In a new database its owner is pg_database_owner.
SELECT rolname FROM pg_catalog.pg_roles
 WHERE rolname <> 'pg_database_owner' AND NOT pg_has_role(current_user, oid, 'SET')
 ORDER BY rolname;
