-- server_rights --
-- Whether each right of `SERVER_RIGHTS` is granted, in its order. A superuser has them all.
SELECT (SELECT coalesce(bool_or(rolreplication OR rolsuper), false) FROM pg_catalog.pg_roles WHERE rolname = 'analytics_backup'),
       (SELECT coalesce(bool_or(pg_has_role(oid, 'pg_monitor', 'MEMBER')), false)
          FROM pg_catalog.pg_roles WHERE rolname = 'analytics_monitor');
