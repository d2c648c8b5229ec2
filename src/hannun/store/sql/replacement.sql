-- database --
-- The comment of a database, and whether it accepts connections.
SELECT shobj_description(oid, 'pg_database'), datallowconn FROM pg_catalog.pg_database WHERE datname = %(name)s;

-- can_create_databases --
-- Whether this role may create and rename databases.
SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user;

-- locale --
-- Encoding and locale of a database: the database that takes its place has the same.
SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_catalog.pg_database WHERE datname = %(name)s;

-- grants --
-- Privileges on a database by grantee; no row where they are the default. The grantee 0 is PUBLIC, which has no name.
SELECT g.grantee::regrole::text, g.grantee = 0, g.privilege_type
  FROM pg_catalog.pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) g WHERE d.datname = %(name)s;

-- end_sessions --
-- End the sessions in a database that this role may end, except some backends; waits up to five seconds for each.
SELECT pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity
 WHERE datname = %(name)s AND pid <> ALL(%(but)s::int[]) AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'USAGE');
