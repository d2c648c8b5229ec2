-- digests --
-- For each event, how many rows a part of the comparison has, and the sum of their hashes. The caller replaces the name after
-- FROM by the part's query; this comment must not hold that name.
SELECT event_id, count(*), sum(hashtextextended(key || ' ' || value, 0)::numeric) FROM rows_of_part AS part
 WHERE %(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s::text[]) GROUP BY event_id;

-- rows --
-- The rows of one event in a part of the comparison.
SELECT key, value FROM rows_of_part AS part WHERE event_id = %(event_id)s;

-- versions --
-- The version of every event: it increases with each change that counting makes.
SELECT event_id, version FROM hannun.events;

-- relations --
-- Relations and the privileges granted on them, months of the timeline left out: those that are not Hannun's own exist only
-- in the live database, because no migration creates them.
WITH relations AS (
    SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind::text AS kind, c.relacl, c.relowner
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname NOT LIKE 'pg\_%%' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       AND NOT (n.nspname = 'public' AND c.relname LIKE 'timeline\_data\_%%')
)
SELECT name, kind FROM relations
 UNION ALL
SELECT name || ' for ' || CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
       string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type)
  FROM relations CROSS JOIN LATERAL aclexplode(relacl) g WHERE g.grantee <> relations.relowner GROUP BY name, g.grantee;
