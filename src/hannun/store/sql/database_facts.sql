-- server --
-- The server's version as a number and as text.
SELECT current_setting('server_version_num')::int, current_setting('server_version');

-- database --
-- What CREATE DATABASE needs to make this database again, and the time zone that is set for its sessions.
SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       (SELECT coalesce(array_agg(format('%s TO %s', acl.privilege_type,
                                         CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
                                  ORDER BY acl.grantee, acl.privilege_type), '{}')
          FROM aclexplode(d.datacl) acl),
       pg_database_size(d.oid),
       (SELECT coalesce(s.setconfig, '{}') FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND s.setrole = 0),
       coalesce((SELECT split_part(setting, '=', 2)
                   FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) setting
                  WHERE s.setdatabase = d.oid AND s.setrole = 0 AND setting ILIKE 'timezone=%'), '')
  FROM pg_database d WHERE d.datname = current_database();

-- roles --
-- The roles that own, or have privileges on, something of this database, and others by name. Never a password.
WITH named AS (
    SELECT DISTINCT r.oid FROM pg_roles r JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
     WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        OR (d.classid = 'pg_database'::regclass
            AND d.objid = (SELECT oid FROM pg_database WHERE datname = current_database()))
     UNION
    SELECT datdba FROM pg_database WHERE datname = current_database()
     UNION
    SELECT oid FROM pg_roles WHERE rolname = ANY(%(names)s::text[])
)
SELECT r.rolname,
       array_remove(ARRAY[CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
                          CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                          CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
                          CASE WHEN NOT r.rolinherit THEN 'NOINHERIT' END,
                          CASE WHEN r.rolconnlimit >= 0 THEN 'CONNECTION LIMIT ' || r.rolconnlimit END], NULL),
       coalesce((SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0), '{}'),
       coalesce((SELECT s.setconfig FROM pg_db_role_setting s
                  WHERE s.setrole = r.oid
                    AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())), '{}'),
       (SELECT coalesce(array_agg(DISTINCT pg_get_userbyid(m.roleid)::text), '{}') FROM pg_auth_members m WHERE m.member = r.oid)
  FROM pg_roles r WHERE r.oid IN (SELECT oid FROM named) ORDER BY r.rolname;

-- tables --
-- Every table with rows of its own in the two schemas; partitions are among them, their parents are not.
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('public', 'hannun') AND c.relkind = 'r' ORDER BY 1, 2;

-- sums --
-- Totals that an operator knows by sight. As text: numeric has no bound.
SELECT (SELECT count(*)::text FROM hannun.events) AS events,
       (SELECT coalesce(sum(participants), 0)::text FROM hannun.events) AS participants,
       (SELECT coalesce(sum(sales), 0)::text FROM hannun.events) AS sales,
       (SELECT coalesce(sum(recorded_revenue), 0)::text FROM hannun.events) AS recorded_revenue,
       (SELECT count(*)::text FROM pg_largeobject_metadata) AS large_objects;

-- positions --
-- Up to where each partition is counted.
SELECT topic, partition, topic_id, next_offset, leader_epoch FROM hannun.positions ORDER BY topic, partition;

-- identity --
-- The hash of this installation's identity.
SELECT encode(sha256(participant_key), 'hex') FROM hannun.identity;

-- system_identifier --
-- The number that tells this server's data from those of another: a restored copy has the same.
SELECT system_identifier::text FROM pg_control_system();

-- export_snapshot --
-- A snapshot that other connections can use while this transaction is open.
SELECT pg_export_snapshot();

-- replication --
-- Whether this role may replicate, which a base backup needs, and what the server's settings allow. The last is NULL before
-- PostgreSQL 17, which has no incremental backups.
SELECT r.rolreplication OR r.rolsuper, current_setting('wal_level'), current_setting('max_wal_senders')::int,
       current_setting('summarize_wal', true)
  FROM pg_roles r WHERE r.rolname = current_user;

-- lock_backup --
-- The right to make a backup of this database: one session at a time has it, until it ends.
SELECT pg_try_advisory_lock(hashtext('hannun.backup'));
