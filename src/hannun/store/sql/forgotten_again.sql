-- counts --
-- How often ids of an event were forgotten, where any was.
SELECT event_id, forgotten FROM hannun.events WHERE forgotten > 0;

-- raise_counts --
-- Raise how often ids of an event were forgotten to what the live database says.
UPDATE hannun.events e SET forgotten = greatest(e.forgotten, live.forgotten)
  FROM unnest(%(event_ids)s::text[], %(counts)s::int[]) AS live (event_id, forgotten) WHERE e.event_id = live.event_id;

-- participants --
-- The participants of an event, as 32 hexadecimal digits.
SELECT replace(participant::text, '-', '') FROM hannun.arrivals
 WHERE event_no = (SELECT event_no FROM hannun.events WHERE event_id = %(event_id)s)
 UNION
-- Also those who are only in dead letters.
SELECT fields ->> 'participant' FROM hannun.dead_letters
 WHERE event_id = %(event_id)s AND fields ->> 'participant' ~ '^[0-9a-f]{32}$';

-- merchants --
-- Every id of a user that the database holds.
SELECT user_id FROM hannun.events WHERE user_id IS NOT NULL
 UNION SELECT user_id FROM hannun.shares
 UNION SELECT created_by FROM hannun.shares
 UNION SELECT lower(fields ->> 'userId') FROM hannun.dead_letters WHERE fields ? 'userId';
