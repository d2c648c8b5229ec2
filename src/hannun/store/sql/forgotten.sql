-- counts --
-- How often ids of an event were forgotten, where any was.
SELECT event_id, forgotten FROM hannun.events WHERE forgotten > 0;

-- digests --
-- The digests of all forgotten ids.
SELECT kind, event_id, digest, key_id FROM hannun.forgotten;

-- recorded --
-- The digest under which an id was forgotten, of its digests by all keys.
SELECT digest FROM hannun.forgotten
 WHERE kind = %(kind)s AND event_id = %(event_id)s AND digest = ANY(%(digests)s::bytea[]) ORDER BY forgotten_at LIMIT 1;

-- record --
-- Record a forgotten id.
INSERT INTO hannun.forgotten (kind, event_id, digest, key_id) VALUES (%(kind)s, %(event_id)s, %(digest)s, %(key_id)s);

-- raise_count --
-- An id of this event was forgotten: batches that were prepared before are prepared again.
UPDATE hannun.events SET forgotten = forgotten + 1 WHERE event_no = %(event_no)s;

-- events_of_participant --
-- The events in which a participant is counted: one search in an index, or two, for each event.
SELECT e.event_id FROM hannun.events e
 WHERE EXISTS (SELECT FROM hannun.participants p WHERE p.event_no = e.event_no AND p.participant = %(participant)s::uuid)
    OR e.packed > 0 AND %(participant)s::uuid = ANY((
       SELECT s.participants FROM hannun.packed_participants s
        WHERE s.event_no = e.event_no AND s.first_participant <= %(participant)s::uuid
        ORDER BY s.first_participant DESC LIMIT 1)::uuid[])
 ORDER BY e.event_no;

-- events_of_dead_letters --
-- The events of dead letters that name a participant. Such an event may not exist.
SELECT DISTINCT event_id FROM hannun.dead_letters
 WHERE fields ->> 'participant' = %(participant)s AND event_id IS NOT NULL ORDER BY event_id;

-- delete_participant_in_dead_letters --
-- Delete a participant from the kept fields of dead letters of no event: no substitute is theirs, and they cannot be counted.
UPDATE hannun.dead_letters SET fields = fields - 'participant'
 WHERE event_id IS NULL AND fields ->> 'participant' = %(participant)s;

-- lock_events --
-- Lock events in the order in which batches lock them.
SELECT event_no, event_id FROM hannun.events WHERE event_id = ANY(%(event_ids)s::text[]) ORDER BY event_no FOR UPDATE;

-- replace_participant --
-- Replace a participant in the ledger. Minute and channel stay, so every count stays.
UPDATE hannun.participants SET participant = %(new)s::uuid
 WHERE event_no = %(event_no)s AND participant = %(old)s::uuid;

-- replace_packed_participant --
-- Replace a participant in a segment of the ledger: the substitute becomes a row, with the same minute and channel. The event is locked.
WITH found AS MATERIALIZED (
    SELECT event_no, first_participant, participants, cames, array_position(participants, %(old)s::uuid) AS place
      FROM (SELECT * FROM hannun.packed_participants
             WHERE event_no = %(event_no)s AND first_participant <= %(old)s::uuid
             ORDER BY first_participant DESC LIMIT 1) AS segment
     WHERE %(old)s::uuid = ANY(participants)
), kept AS (
    UPDATE hannun.packed_participants s SET
           first_participant = (array_remove(s.participants, %(old)s::uuid))[1],
           participants = array_remove(s.participants, %(old)s::uuid), cames = s.cames[:place - 1] || s.cames[place + 1:]
      FROM found
     WHERE s.event_no = found.event_no AND s.first_participant = found.first_participant AND cardinality(found.participants) > 1
), emptied AS (
    DELETE FROM hannun.packed_participants s USING found
     WHERE s.event_no = found.event_no AND s.first_participant = found.first_participant AND cardinality(found.participants) = 1
), unpacked AS (
    UPDATE hannun.events e SET packed = e.packed - 1 FROM found WHERE e.event_no = found.event_no
)
INSERT INTO hannun.participants (event_no, participant, came) SELECT event_no, %(new)s::uuid, cames[place] FROM found;

-- replace_participant_in_dead_letters --
-- Replace a participant among the kept fields of dead letters.
UPDATE hannun.dead_letters SET fields = fields || jsonb_build_object('participant', %(new)s::text)
 WHERE event_id = %(event_id)s AND fields ->> 'participant' = %(old)s;

-- lock_events_of_merchant --
-- Lock a merchant's events in the order in which batches lock them.
SELECT event_no FROM hannun.events WHERE user_id = %(old)s ORDER BY event_no FOR UPDATE;

-- lock_merchants --
-- Wait for every transaction that creates an event, and let others wait until the commit (`hannun.forgotten_merchants`).
SELECT pg_advisory_xact_lock(hashtext('hannun.forgotten_merchants'));

-- replace_owner --
-- Replace the owner of events, and their titles. Returns each event with its new version and its channels.
UPDATE hannun.events e
   SET user_id = %(new)s, title = %(title)s, forgotten = forgotten + 1,
       version = greatest(version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
 WHERE user_id = %(old)s
RETURNING event_id, version, (SELECT coalesce(array_agg(channel_name::text), '{}') FROM public.channel_stats c
                               WHERE c.event_id = e.event_id);

-- replace_owner_in_totals --
-- Replace the owner of events, and their titles, in the contract's table.
UPDATE public.event_stats SET user_id = %(new)s, event_title = %(title)s,
       updated_at = clock_timestamp() AT TIME ZONE 'UTC'
 WHERE user_id = %(old)s;

-- delete_shares --
-- Delete the share links to a merchant's events: their labels may name people.
DELETE FROM hannun.shares WHERE user_id = %(old)s;

-- replace_maker_of_shares --
-- Replace who has made share links to other merchants' events.
UPDATE hannun.shares SET created_by = %(new)s WHERE created_by = %(old)s;

-- delete_sign_in_codes --
-- Delete the unused sign-in codes of a user.
DELETE FROM hannun.sign_in_codes WHERE user_id = %(old)s;

-- replace_merchant_in_dead_letters --
-- Replace a merchant among the kept fields of dead letters, where a UUID stands as it was sent, also in capitals.
UPDATE hannun.dead_letters
   SET fields = fields || jsonb_build_object('userId', %(new)s::text)
                || CASE WHEN fields ? 'eventTitle' THEN jsonb_build_object('eventTitle', %(title)s::text) ELSE '{}' END
 WHERE fields ->> 'userId' = %(old)s OR (length(%(old)s) = 36 AND lower(fields ->> 'userId') = %(old)s);

-- copy_forgotten --
-- Copy a forgotten id to another database.
INSERT INTO hannun.forgotten (kind, event_id, digest, key_id, forgotten_at) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING;

-- forgotten --
-- All forgotten ids, to copy.
SELECT kind, event_id, digest, key_id, forgotten_at FROM hannun.forgotten;

-- key_counts --
-- How many ids were forgotten with each key.
SELECT key_id, count(*) FROM hannun.forgotten GROUP BY key_id ORDER BY key_id;
