-- digests --
-- For each event, how many rows a part of the comparison has, and the sum of their hashes. The caller replaces the name after
-- FROM by the part's query; this comment must not hold that name.
SELECT event_id, count(*), sum(hashtextextended(key || ' ' || value::text, 0)::numeric) FROM rows_of_part AS part
 WHERE %(event_ids)s::text[] IS NULL OR event_id = ANY(%(event_ids)s::text[]) GROUP BY event_id;

-- rows --
-- The rows of one event in a part of the comparison.
SELECT key, to_jsonb(value) FROM rows_of_part AS part WHERE event_id = %(event_id)s;

-- dead_letters --
-- The dead letters of Kafka's records: the record, the reason, and whether it is resolved.
SELECT topic, partition, topic_id, record_offset, reason, resolved_at IS NOT NULL
  FROM hannun.dead_letters WHERE topic IS NOT NULL;

-- replayed --
-- From where to where a shadow has read each partition, by its newest start.
SELECT p.topic, p.partition, p.topic_id, begun.goes_on_at, p.next_offset
  FROM hannun.positions p
  JOIN LATERAL (SELECT d.goes_on_at FROM hannun.position_decisions d
                 WHERE d.topic = p.topic AND d.partition = p.partition AND d.topic_id = p.topic_id
                   AND d.how LIKE 'replay --from%%'
                 ORDER BY d.decided_at DESC LIMIT 1) begun ON true;

-- decided --
-- What operators have decided and a swap carries over.
SELECT (SELECT count(*) FROM hannun.dead_letters WHERE resolved_at IS NOT NULL),
       (SELECT count(*) FROM hannun.position_decisions WHERE how NOT LIKE 'replay %%'),
       (SELECT count(*) FROM hannun.stopped_topics WHERE forgotten_at IS NOT NULL),
       (SELECT count(*) FROM hannun.shares);

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
