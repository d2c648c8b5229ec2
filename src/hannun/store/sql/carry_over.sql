-- dead_letters --
-- All dead letters, oldest first.
SELECT dead_letter_no, created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at, size_bytes, hash,
       fields, resolved_at, resolution, resolved_by, published_at, sealed_amounts
  FROM hannun.dead_letters ORDER BY dead_letter_no;

-- delete_dead_letters --
-- Delete the dead letters of the shadow, before those of both databases are written.
DELETE FROM hannun.dead_letters;

-- copy_dead_letter --
-- Write a dead letter of the live database under its number.
INSERT INTO hannun.dead_letters
       (dead_letter_no, created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at,
        size_bytes, hash, fields, resolved_at, resolution, resolved_by, published_at, sealed_amounts)
OVERRIDING SYSTEM VALUE
VALUES (%(dead_letter_no)s, %(created_at)s, %(kind)s, %(reason)s, %(detail)s, %(event_id)s, %(topic)s, %(partition)s,
        %(topic_id)s, %(record_offset)s, %(received_at)s, %(size_bytes)s, %(hash)s, %(fields)s, %(resolved_at)s,
        %(resolution)s, %(resolved_by)s, %(published_at)s, %(sealed_amounts)s);

-- continue_numbers --
-- New dead letters get numbers above those of the live database.
SELECT setval(pg_get_serial_sequence('hannun.dead_letters', 'dead_letter_no'), greatest(%(highest)s, 1), %(highest)s > 0);

-- add_dead_letter --
-- Write a dead letter that only the shadow has.
INSERT INTO hannun.dead_letters
       (created_at, kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at, size_bytes, hash,
        fields, sealed_amounts)
VALUES (%(created_at)s, %(kind)s, %(reason)s, %(detail)s, %(event_id)s, %(topic)s, %(partition)s, %(topic_id)s,
        %(record_offset)s, %(received_at)s, %(size_bytes)s, %(hash)s, %(fields)s, %(sealed_amounts)s);

-- delete_failed_swaps --
-- Delete the records that failed swaps have left in the shadow. Those of completed swaps are copied from the live database.
DELETE FROM hannun.position_decisions WHERE how = 'replay swap';

-- decisions --
-- The decisions of operators about positions, oldest first.
SELECT decided_at, decided_by, topic, partition, topic_id, was_at, goes_on_at, how, skipped_from
  FROM hannun.position_decisions ORDER BY decision_no;

-- copy_decision --
-- Copy a decision of an operator, once.
INSERT INTO hannun.position_decisions
       (decided_at, decided_by, topic, partition, topic_id, was_at, goes_on_at, how, skipped_from)
SELECT %(decided_at)s, %(decided_by)s, %(topic)s, %(partition)s, %(topic_id)s, %(was_at)s, %(goes_on_at)s, %(how)s,
       %(skipped_from)s
 WHERE NOT EXISTS (SELECT FROM hannun.position_decisions
                    WHERE decided_at = %(decided_at)s AND topic = %(topic)s AND partition = %(partition)s);

-- shares --
-- The share links.
SELECT share_id, event_id, user_id, secret_hash, label, created_at, created_by, expires_at, revoked_at FROM hannun.shares;

-- copy_share --
-- Copy a share link. One that was revoked stays revoked.
INSERT INTO hannun.shares
       (share_id, event_id, user_id, secret_hash, label, created_at, created_by, expires_at, revoked_at)
VALUES (%(share_id)s, %(event_id)s, %(user_id)s, %(secret_hash)s, %(label)s, %(created_at)s, %(created_by)s,
        %(expires_at)s, %(revoked_at)s)
    ON CONFLICT (share_id) DO UPDATE SET revoked_at = excluded.revoked_at;

-- ended_sessions --
-- The sessions that have ended before their token expires.
SELECT token_hash, ended_at, expires_at FROM hannun.ended_sessions;

-- copy_ended_session --
-- Copy an ended session, so that it stays ended.
INSERT INTO hannun.ended_sessions (token_hash, ended_at, expires_at)
VALUES (%(token_hash)s, %(ended_at)s, %(expires_at)s) ON CONFLICT DO NOTHING;

-- operation_runs --
-- The runs of backups and other operations.
SELECT run_no, kind, name, started_at, ended_at, outcome, seconds, bytes, detail FROM hannun.operation_runs ORDER BY run_no;

-- copy_operation_run --
-- Copy a run of an operation under its number, so that one in progress is ended in the database that is then live.
INSERT INTO hannun.operation_runs (run_no, kind, name, started_at, ended_at, outcome, seconds, bytes, detail)
OVERRIDING SYSTEM VALUE
VALUES (%(run_no)s, %(kind)s, %(name)s, %(started_at)s, %(ended_at)s, %(outcome)s, %(seconds)s, %(bytes)s, %(detail)s)
    ON CONFLICT (run_no) DO UPDATE SET
       ended_at = excluded.ended_at, outcome = excluded.outcome, seconds = excluded.seconds, bytes = excluded.bytes,
       name = excluded.name, detail = excluded.detail;

-- continue_run_numbers --
-- New runs get numbers above those that were copied.
SELECT setval(pg_get_serial_sequence('hannun.operation_runs', 'run_no'), coalesce(max(run_no), 1), max(run_no) IS NOT NULL)
  FROM hannun.operation_runs;

-- breakers --
-- The circuit breakers of channels.
SELECT channel, version, state, since, details FROM hannun.channel_breakers;

-- copy_breaker --
-- Copy a circuit breaker, so that a channel that is down stays known to be down.
INSERT INTO hannun.channel_breakers (channel, version, state, since, details)
VALUES (%(channel)s, %(version)s, %(state)s, %(since)s, %(details)s)
    ON CONFLICT (channel) DO UPDATE SET
       version = excluded.version, state = excluded.state, since = excluded.since, details = excluded.details;

-- outages --
-- When the APIs of channels were not called.
SELECT channel, began_at, ended_at, reason FROM hannun.channel_outages;

-- copy_outage --
-- Copy when the API of a channel was not called.
INSERT INTO hannun.channel_outages (channel, began_at, ended_at, reason)
VALUES (%(channel)s, %(began_at)s, %(ended_at)s, %(reason)s)
    ON CONFLICT (channel, began_at) DO UPDATE SET ended_at = excluded.ended_at;

-- packing --
-- Whether participants are packed, and which processes may use the database.
SELECT packs, oldest_version FROM hannun.participant_packing CROSS JOIN hannun.schema_compatibility;

-- copy_packing --
-- Pack participants where the live database does, and let only those processes start that may use it.
WITH raised AS (
    UPDATE hannun.schema_compatibility SET oldest_version = %(oldest_version)s WHERE oldest_version < %(oldest_version)s
)
UPDATE hannun.participant_packing SET packs = true, changed_at = clock_timestamp() WHERE %(packs)s AND NOT packs;

-- budgets --
-- What is taken of the budgets of channels' APIs.
SELECT scope, budget, window_starts_at, units, free_at, blocked_until FROM hannun.channel_budgets;

-- copy_budget --
-- Copy what is taken of a budget: the API goes on counting.
INSERT INTO hannun.channel_budgets (scope, budget, window_starts_at, units, free_at, blocked_until)
VALUES (%(scope)s, %(budget)s, %(window_starts_at)s, %(units)s, %(free_at)s, %(blocked_until)s)
    ON CONFLICT (scope, budget) DO UPDATE SET
       window_starts_at = excluded.window_starts_at, units = excluded.units, free_at = excluded.free_at,
       blocked_until = excluded.blocked_until;

-- positions --
-- The position of each partition, and its epoch.
SELECT topic, partition, topic_id, next_offset, epoch FROM hannun.positions;

-- raise_epoch --
-- Raise the epoch above that of the live database, so that no consumer of the live database owns the partition any more. A
-- partition that was not replayed is inserted with its live position.
INSERT INTO hannun.positions AS p (topic, partition, topic_id, next_offset, epoch, owner)
VALUES (%(topic)s, %(partition)s, %(topic_id)s, %(next_offset)s, %(epoch)s + 1, '')
    ON CONFLICT (topic, partition) DO UPDATE SET epoch = greatest(p.epoch, %(epoch)s) + 1, owner = '';

-- stopped_partitions --
-- Partitions that wait until an operator decides.
SELECT topic, partition, why, hint, found_by, stopped_at FROM hannun.stopped_partitions WHERE until_decided;

-- copy_stopped_partition --
-- Copy a partition that waits for an operator.
INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by, stopped_at, until_decided)
VALUES (%(topic)s, %(partition)s, %(why)s, %(hint)s, %(found_by)s, %(stopped_at)s, true)
    ON CONFLICT (topic, partition) DO NOTHING;

-- forgotten_topics --
-- Topics that an operator has forgotten.
SELECT topic, why, hint, found_by, stopped_at, forgotten_by, forgotten_at FROM hannun.stopped_topics
 WHERE forgotten_at IS NOT NULL;

-- copy_forgotten_topic --
-- Copy a topic that an operator has forgotten.
INSERT INTO hannun.stopped_topics (topic, why, hint, found_by, stopped_at, forgotten_by, forgotten_at)
VALUES (%(topic)s, %(why)s, %(hint)s, %(found_by)s, %(stopped_at)s, %(forgotten_by)s, %(forgotten_at)s)
    ON CONFLICT (topic) DO NOTHING;

-- events --
-- Every event: owner, version, when it was first seen, and when its row in event_stats was created.
SELECT e.event_id, e.user_id, e.version, e.first_seen_at, s.created_at
  FROM hannun.events e LEFT JOIN public.event_stats s USING (event_id);

-- raise_versions --
-- Raise the version of every event above its live version, so that versions never decrease, and copy when it was first seen.
UPDATE hannun.events e
   SET version = greatest(e.version, live.version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) + 1,
       first_seen_at = least(e.first_seen_at, live.first_seen_at)
  FROM unnest(%(event_ids)s::text[], %(versions)s::bigint[], %(first_seen_ats)s::timestamp[])
       AS live (event_id, version, first_seen_at)
 WHERE e.event_id = live.event_id;

-- copy_creation_times --
-- Copy when the rows of event_stats were created.
UPDATE public.event_stats s SET created_at = live.created_at
  FROM unnest(%(event_ids)s::text[], %(created_ats)s::timestamp[]) AS live (event_id, created_at)
 WHERE s.event_id = live.event_id AND live.created_at IS NOT NULL;

-- invalidate_everything --
-- Write outbox entries for every cached answer: of the events here, and of those that only the live database had. One entry
-- for each 1,000 events.
INSERT INTO hannun.owed_invalidations (events)
SELECT jsonb_object_agg(event_id, jsonb_build_object('userId', user_id, 'version', version, 'channels', channels))
  FROM (SELECT coalesce(e.event_id, live.event_id) AS event_id, coalesce(e.user_id, live.user_id) AS user_id,
               coalesce(e.version, live.version + 1) AS version, coalesce(c.channels, '[]') AS channels,
               row_number() OVER () / 1000 AS chunk
          FROM hannun.events e
          FULL JOIN unnest(%(event_ids)s::text[], %(user_ids)s::text[], %(versions)s::bigint[])
               AS live (event_id, user_id, version) USING (event_id)
          LEFT JOIN (SELECT event_id, jsonb_agg(channel_name) AS channels FROM public.channel_stats GROUP BY event_id) c
            ON c.event_id = e.event_id) all_events
 GROUP BY chunk;

-- audit_entries --
-- Entries of the audit log after the first so many, oldest first.
SELECT entry_no, at, actor, action, object, subject, reason, previous_hash, hash
  FROM hannun.audit_log WHERE entry_no > %(after)s ORDER BY entry_no;

-- newest_audit_entry --
-- Number and hash of the newest entry of the audit log; 0 and NULL where it is empty.
SELECT coalesce(max(entry_no), 0), (SELECT hash FROM hannun.audit_log ORDER BY entry_no DESC LIMIT 1) FROM hannun.audit_log;

-- audit_entry --
-- Number and hash of an entry of the audit log; NULL where there is no such entry.
SELECT %(entry_no)s::bigint, (SELECT hash FROM hannun.audit_log WHERE entry_no = %(entry_no)s);

-- copy_audit_entry --
-- Copy an entry of the audit log as it is, with its hashes.
INSERT INTO hannun.audit_log (entry_no, at, actor, action, object, subject, reason, previous_hash, hash)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s);

-- audit_subjects --
-- Whom the entries of the audit log name.
SELECT subject_ref, kind, salt, subject_id FROM hannun.audit_subjects;

-- copy_audit_subject --
-- Copy whom entries of the audit log name. Who was forgotten since the last copy is forgotten here too.
INSERT INTO hannun.audit_subjects (subject_ref, kind, salt, subject_id) VALUES (%s, %s, %s, %s)
    ON CONFLICT (subject_ref) DO UPDATE SET salt = NULL, subject_id = NULL WHERE excluded.subject_id IS NULL;
