-- database --
-- What the server says of a database: its description, and whether it lets anybody in.
SELECT shobj_description(oid, 'pg_database'), datallowconn FROM pg_catalog.pg_database WHERE datname = %(name)s;

-- may_make_databases --
-- Whether this role may make and rename databases.
SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user;

-- owns --
-- Whether this role may act as the owner of a database.
SELECT pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database WHERE datname = %(name)s;

-- form --
-- How a database writes and sorts: another one that takes its place does the same.
SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_catalog.pg_database WHERE datname = %(name)s;

-- grants --
-- Who may do what with a database; no row where that is the default. PUBLIC has no name.
SELECT g.grantee::regrole::text, g.grantee = 0, g.privilege_type
  FROM pg_catalog.pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) g WHERE d.datname = %(name)s;

-- end_sessions --
-- End the sessions in a database that this role may end, but one; each within five seconds.
SELECT pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity
 WHERE datname = %(name)s AND pid <> %(but)s AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'USAGE');

-- sessions --
-- Who is in databases, but for some sessions; the server's own workers have no role, and get out of the way.
SELECT usename, count(*) FROM pg_catalog.pg_stat_activity
 WHERE datname = ANY(%(names)s::text[]) AND pid <> ALL(%(but)s::int[]) AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
 GROUP BY usename ORDER BY usename;

-- key --
-- With what participants are hashed.
SELECT participant_key FROM hannun.identity;

-- take_key --
-- Participants are hashed as in the live database, or nobody would be the same person.
UPDATE hannun.identity SET participant_key = %(key)s;

-- hold_writers --
-- Nobody writes from here on; who reads goes on reading. In the order in which a batch takes them.
LOCK TABLE hannun.positions, hannun.events, hannun.dead_letters, hannun.position_decisions, hannun.shares
  IN EXCLUSIVE MODE;

-- letters --
-- All dead letters, oldest first.
SELECT created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at, size_bytes, hash,
       fields, resolved_at, resolution, resolved_by, published_at
  FROM hannun.dead_letters ORDER BY dead_letter_no;

-- carry_resolution --
-- A letter that both have is as old, and as far worked, as in the live database.
UPDATE hannun.dead_letters
   SET created_at = %(created_at)s, resolved_at = %(resolved_at)s, resolution = %(resolution)s,
       resolved_by = %(resolved_by)s, published_at = %(published_at)s
 WHERE topic = %(topic)s AND partition = %(partition)s AND topic_id = %(topic_id)s AND record_offset = %(record_offset)s;

-- carry_letter --
-- A letter that only the live database has: it came over HTTP, or its message can be used by now.
INSERT INTO hannun.dead_letters
       (created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at, size_bytes, hash,
        fields, resolved_at, resolution, resolved_by, published_at)
VALUES (%(created_at)s, %(kind)s, %(reason)s, %(detail)s, %(event_id)s, %(topic)s, %(partition)s, %(topic_id)s,
        %(record_offset)s, %(received_at)s, %(size_bytes)s, %(hash)s, %(fields)s, %(resolved_at)s, %(resolution)s,
        %(resolved_by)s, %(published_at)s)
    ON CONFLICT DO NOTHING;

-- forget_swaps --
-- A swap that failed has left its record here, and never took place; those that did are carried over.
DELETE FROM hannun.position_decisions WHERE how = 'replay swap';

-- decisions --
-- What operators decided.
SELECT decided_at, decided_by, topic, partition, topic_id, was_at, goes_on_at, how
  FROM hannun.position_decisions ORDER BY decision_no;

-- carry_decision --
-- A decision of an operator, once.
INSERT INTO hannun.position_decisions (decided_at, decided_by, topic, partition, topic_id, was_at, goes_on_at, how)
SELECT %(decided_at)s, %(decided_by)s, %(topic)s, %(partition)s, %(topic_id)s, %(was_at)s, %(goes_on_at)s, %(how)s
 WHERE NOT EXISTS (SELECT FROM hannun.position_decisions
                    WHERE decided_at = %(decided_at)s AND topic = %(topic)s AND partition = %(partition)s);

-- shares --
-- Links that open an event to others.
SELECT share_id, event_id, user_id, secret_hash, label, created_at, created_by, expires_at, revoked_at FROM hannun.shares;

-- carry_share --
-- A link goes on opening what it opened, and one that was revoked stays so.
INSERT INTO hannun.shares
       (share_id, event_id, user_id, secret_hash, label, created_at, created_by, expires_at, revoked_at)
VALUES (%(share_id)s, %(event_id)s, %(user_id)s, %(secret_hash)s, %(label)s, %(created_at)s, %(created_by)s,
        %(expires_at)s, %(revoked_at)s)
    ON CONFLICT (share_id) DO UPDATE SET revoked_at = excluded.revoked_at;

-- positions --
-- How far each partition is counted, and under which epoch.
SELECT topic, partition, topic_id, next_offset, epoch FROM hannun.positions;

-- outdo_epoch --
-- Whoever held the partition in the live database holds it no longer. A partition that was not replayed is taken over.
INSERT INTO hannun.positions AS p (topic, partition, topic_id, next_offset, epoch, owner)
VALUES (%(topic)s, %(partition)s, %(topic_id)s, %(next_offset)s, %(epoch)s + 1, '')
    ON CONFLICT (topic, partition) DO UPDATE SET epoch = greatest(p.epoch, %(epoch)s) + 1, owner = '';

-- stopped --
-- Partitions that wait until an operator decides.
SELECT topic, partition, why, hint, found_by, stopped_at FROM hannun.stopped_partitions WHERE until_decided;

-- carry_stopped --
-- They go on waiting.
INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by, stopped_at, until_decided)
VALUES (%(topic)s, %(partition)s, %(why)s, %(hint)s, %(found_by)s, %(stopped_at)s, true)
    ON CONFLICT (topic, partition) DO NOTHING;

-- ages --
-- Every event: its owner, its version, since when it is known, since when it is shown.
SELECT e.event_id, e.user_id, e.version, e.first_seen_at, s.created_at
  FROM hannun.events e LEFT JOIN public.event_stats s USING (event_id);

-- outdo_versions --
-- No version runs backwards, and no event is younger than it was.
UPDATE hannun.events e
   SET version = greatest(e.version, told.version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) + 1,
       first_seen_at = least(e.first_seen_at, told.first_seen_at)
  FROM unnest(%(event_ids)s::text[], %(versions)s::bigint[], %(first_seen_ats)s::timestamp[])
       AS told (event_id, version, first_seen_at)
 WHERE e.event_id = told.event_id;

-- keep_birthdays --
-- Rows of events are as old as they were.
UPDATE public.event_stats s SET created_at = told.created_at
  FROM unnest(%(event_ids)s::text[], %(created_ats)s::timestamp[]) AS told (event_id, created_at)
 WHERE s.event_id = told.event_id AND told.created_at IS NOT NULL;

-- owe_all --
-- Every cached answer is false now: of the events here, and of those that only the live database knew.
INSERT INTO hannun.owed_invalidations (events)
SELECT jsonb_object_agg(event_id, jsonb_build_object('userId', user_id, 'version', version, 'channels', channels))
  FROM (SELECT coalesce(e.event_id, told.event_id) AS event_id, coalesce(e.user_id, told.user_id) AS user_id,
               coalesce(e.version, told.version + 1) AS version, coalesce(c.channels, '[]') AS channels,
               row_number() OVER () / 1000 AS chunk
          FROM hannun.events e
          FULL JOIN unnest(%(event_ids)s::text[], %(user_ids)s::text[], %(versions)s::bigint[])
               AS told (event_id, user_id, version) USING (event_id)
          LEFT JOIN (SELECT event_id, jsonb_agg(channel_name) AS channels FROM public.channel_stats GROUP BY event_id) c
            ON c.event_id = e.event_id) everything
 GROUP BY chunk;
