-- digests --
-- For each event how many rows a part of the comparison has, and the sum of their hashes.
SELECT event_id, count(*), sum(hashtextextended(key || ' ' || value, 0)::numeric) FROM said_of_a_part AS said
 WHERE %(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s::text[]) GROUP BY event_id;

-- rows --
-- The rows of one event in a part of the comparison.
SELECT key, value FROM said_of_a_part AS said WHERE event_id = %(event_id)s;

-- versions --
-- The version of every event: it rises with each change that counting makes.
SELECT event_id, version FROM hannun.events;

-- relations --
-- What others keep in this database: relations that are not ours to make again, and rights that were given to others.
WITH ours AS (
    SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind::text AS kind, c.relacl, c.relowner
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname NOT LIKE 'pg\_%%' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       AND NOT (n.nspname = 'public' AND c.relname LIKE 'timeline\_data\_%%')
)
SELECT name, kind FROM ours
 UNION ALL
SELECT name || ' for ' || CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
       string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type)
  FROM ours CROSS JOIN LATERAL aclexplode(relacl) g WHERE g.grantee <> ours.relowner GROUP BY name, g.grantee;
