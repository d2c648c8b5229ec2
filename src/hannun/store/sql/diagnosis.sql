-- What `hannun doctor` reads of the server and of the schema. Nothing here changes anything.

-- time_zone_settings --
-- The time zone of the database, or of a role in it, where somebody has set another one than UTC: (role or '', zone).
SELECT coalesce(r.rolname, ''), split_part(setting, '=', 2)
  FROM pg_db_role_setting s
  JOIN pg_database d ON d.oid = s.setdatabase OR s.setdatabase = 0
  LEFT JOIN pg_roles r ON r.oid = s.setrole
 CROSS JOIN LATERAL unnest(s.setconfig) AS setting
 WHERE d.datname = current_database() AND split_part(setting, '=', 1) ILIKE 'timezone'
   AND (s.setrole = 0 OR r.rolname IN ('analytics_readonly', 'analytics_readwrite', current_user));

-- missing_rights --
-- Rights that the service needs and this role lacks, and those that analytics_readonly lacks: (role, right, object).
SELECT role, wanted, object FROM (
    SELECT current_user::text AS role, wanted, c.oid::regclass::text AS object,
           has_table_privilege(current_user, c.oid, wanted) AS has
      FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
     WHERE c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace) AND c.relkind IN ('r', 'p')
       AND (c.relname NOT IN ('identity', 'schema_version') OR c.relnamespace <> 'hannun'::regnamespace OR wanted = 'SELECT')
     UNION ALL
    SELECT current_user, 'USAGE', c.oid::regclass::text, has_sequence_privilege(current_user, c.oid, 'USAGE')
      FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'hannun'::regnamespace) AND c.relkind = 'S'
     UNION ALL
    SELECT current_user, 'EXECUTE', p.oid::regprocedure::text, has_function_privilege(current_user, p.oid, 'EXECUTE')
      FROM pg_proc p WHERE p.oid = to_regprocedure('hannun.make_timeline_month(date)')
     UNION ALL
    SELECT r.rolname, 'SELECT', c.oid::regclass::text, has_table_privilege(r.oid, c.oid, 'SELECT')
      FROM pg_roles r, pg_class c
     WHERE r.rolname = 'analytics_readonly' AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
) AS rights WHERE NOT has ORDER BY 1, 3, 2;
