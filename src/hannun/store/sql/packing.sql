-- Packing: participants of quiet events move from hannun.participants into the segments of hannun.packed_participants.

-- packs --
-- Whether participants of quiet events are packed.
SELECT packs FROM hannun.participant_packing;

-- set_packs --
-- Pack participants from now on, or pack no more. What is packed stays so.
UPDATE hannun.participant_packing SET packs = %(packs)s, changed_at = clock_timestamp() WHERE packs <> %(packs)s;

-- require_version --
-- Processes that do not know segments must not start on this database.
UPDATE hannun.schema_compatibility SET oldest_version = %(version)s WHERE oldest_version < %(version)s;

-- due_events --
-- The first events above `after` to which nobody was added for a time, and of which enough participants are not packed.
SELECT event_no, version FROM hannun.events
 WHERE event_no > %(after)s AND participants > packed AND packed <= (participants - packed)::bigint * %(packed_per_new)s
   AND coalesce(participants_at, first_seen_at) <= clock_timestamp() AT TIME ZONE 'UTC' - %(quiet_s)s * interval '1 second'
 ORDER BY event_no LIMIT %(limit)s;

-- lock_event --
-- Lock an event until the commit, as a batch does. No row where a batch has it, or somebody was added to it meanwhile.
SELECT event_no FROM hannun.events
 WHERE event_no = %(event_no)s
   AND coalesce(participants_at, first_seen_at) <= clock_timestamp() AT TIME ZONE 'UTC' - %(quiet_s)s * interval '1 second'
   FOR UPDATE SKIP LOCKED;

-- next_range --
-- The first participant from `first` on who can be packed and is not; and the one before whom a step must end, because it has
-- so many rows then, or opens so many segments. NULL where there is none.
WITH next AS (
    SELECT participant FROM hannun.participants
     WHERE event_no = %(event_no)s AND participant >= %(first)s::uuid AND came IS NOT NULL ORDER BY participant LIMIT 1
)
SELECT participant, least(
       (SELECT p.participant FROM hannun.participants p
         WHERE p.event_no = %(event_no)s AND p.participant >= %(first)s::uuid AND p.came IS NOT NULL
         ORDER BY p.participant OFFSET %(rows)s LIMIT 1),
       (SELECT s.first_participant FROM hannun.packed_participants s
         WHERE s.event_no = %(event_no)s AND s.first_participant > next.participant
         ORDER BY s.first_participant OFFSET %(segments)s LIMIT 1))
  FROM next;

-- pack --
-- Move the participants of a range into segments, with those of the segments that the range touches. The event is locked.
-- Returns how many participants were moved.
WITH opened AS (
    DELETE FROM hannun.packed_participants
     WHERE event_no = %(event_no)s AND first_participant <= %(last)s::uuid
       AND first_participant >= coalesce((SELECT s.first_participant FROM hannun.packed_participants s
                                           WHERE s.event_no = %(event_no)s AND s.first_participant <= %(first)s::uuid
                                           ORDER BY s.first_participant DESC LIMIT 1), %(first)s::uuid)
    RETURNING participants, cames
), moved AS (
    DELETE FROM hannun.participants
     WHERE event_no = %(event_no)s AND participant BETWEEN %(first)s::uuid AND %(last)s::uuid AND came IS NOT NULL
    RETURNING participant, came
), segments AS (
    SELECT participant, came, (row_number() OVER (ORDER BY participant) - 1) / %(size)s AS segment
      FROM (SELECT participant, came FROM moved
             UNION ALL SELECT unnest(participants), unnest(cames) FROM opened) AS participated
), written AS (
    INSERT INTO hannun.packed_participants (event_no, first_participant, participants, cames)
    SELECT %(event_no)s, (array_agg(participant ORDER BY participant))[1], array_agg(participant ORDER BY participant),
           array_agg(came ORDER BY participant)
      FROM segments GROUP BY segment ORDER BY segment
)
UPDATE hannun.events SET packed = packed + (SELECT count(*) FROM moved) WHERE event_no = %(event_no)s
RETURNING (SELECT count(*) FROM moved);
