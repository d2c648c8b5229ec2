-- Rounds of periodic work (hannun.rounds) and the pieces of their work (hannun.round_work). Only the database's clock counts:
-- clock_timestamp(), and not now(), which stands still in a transaction.

-- clock --
SELECT clock_timestamp()::timestamp;

-- open_round --
-- The round of a job that is not ended, and how long ago its owner has written a heartbeat.
SELECT due_at, owner, epoch, began_at, deadline_at,
       extract(epoch FROM clock_timestamp()::timestamp - heartbeat_at)::float8, clock_timestamp()::timestamp
  FROM hannun.rounds WHERE job = %(job)s AND ended_at IS NULL;

-- end_overdue --
-- End the rounds that have passed their deadline: their owner died, or their work did not end. The open pieces stay as they are,
-- and nobody takes them any more.
UPDATE hannun.rounds r SET ended_at = clock_timestamp(),
       result = coalesce((SELECT jsonb_object_agg(name, amount) FROM (
                          SELECT name, sum(amount::bigint) AS amount FROM hannun.round_work w
                           CROSS JOIN LATERAL jsonb_each_text(w.result) AS counted (name, amount)
                           WHERE w.job = r.job AND w.due_at = r.due_at GROUP BY name) counted), '{}') || '{"overdue": 1}'
 WHERE job = %(job)s AND ended_at IS NULL AND deadline_at < clock_timestamp();

-- begin_round --
-- Begin a round. Nothing where it was begun before, where a later one was, or while another is open (rounds_open): then
-- somebody else does its work.
INSERT INTO hannun.rounds (job, due_at, owner, epoch, began_at, heartbeat_at, deadline_at)
SELECT %(job)s, %(due_at)s, %(owner)s, 1, now, now, now + %(length_s)s * interval '1 second'
  FROM (SELECT clock_timestamp()::timestamp AS now) AS clock
 WHERE NOT EXISTS (SELECT FROM hannun.rounds WHERE job = %(job)s AND due_at > %(due_at)s)
    ON CONFLICT DO NOTHING RETURNING began_at, deadline_at;

-- pairs --
-- The pairs of an event and a channel that are measured: events that are ACTIVE, or ended so recently that the channel's numbers
-- still change, which the channel has distributed. Channels are given by their keys, with the seconds that their numbers take.
SELECT c.key, e.event_no, m.polled_at,
       (SELECT max(i.minute) FROM hannun.increments i WHERE i.event_no = e.event_no AND i.channel_no = c.channel_no),
       least(e.ends_at, CASE WHEN e.status <> 'ACTIVE' THEN e.status_at END)
  FROM unnest(%(keys)s::text[], %(settle_s)s::int[]) AS asked (key, settle_s)
  JOIN hannun.channels c USING (key)
  JOIN hannun.distributions d ON d.channel_no = c.channel_no AND d.succeeded_at IS NOT NULL
  JOIN hannun.events e ON e.event_no = d.event_no AND e.user_id IS NOT NULL
  LEFT JOIN hannun.channel_measurements m ON m.event_no = e.event_no AND m.channel_no = c.channel_no
 WHERE e.status = 'ACTIVE'
    OR e.status = 'ENDED' AND e.status_at > clock_timestamp() - asked.settle_s * interval '1 second'
 ORDER BY e.event_no;

-- active_events --
-- The events whose answers a round rebuilds.
SELECT event_no FROM hannun.events WHERE status = 'ACTIVE' AND user_id IS NOT NULL ORDER BY event_no;

-- add_work --
-- The pieces of a round, in the order in which they are taken.
INSERT INTO hannun.round_work (job, due_at, work_no, kind, channel, event_nos)
SELECT %(job)s, %(due_at)s, work_no, kind, channel, event_nos
  FROM jsonb_to_recordset(%(pieces)s) AS piece (work_no int, kind text, channel text, event_nos int[]);

-- take --
-- Take pieces that nobody does: free ones, and those whose owner has written no heartbeat for too long. The epoch that it raises
-- makes what that owner still writes worthless. The ids of the events stand in the order of their numbers in the piece.
-- MATERIALIZED, because a sub-query with LIMIT may be run again for each row that it is joined with, and then locks more.
WITH free AS MATERIALIZED (
    SELECT work_no FROM hannun.round_work
     WHERE job = %(job)s AND due_at = %(due_at)s AND done_at IS NULL AND kind = %(kind)s
       AND (channel IS NULL OR channel <> ALL(%(except_channels)s::text[]))
       AND (owner IS NULL OR heartbeat_at < clock_timestamp() - %(lost_after_s)s * interval '1 second')
       AND EXISTS (SELECT FROM hannun.rounds r
                    WHERE r.job = %(job)s AND r.due_at = %(due_at)s AND r.ended_at IS NULL)
     ORDER BY work_no LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE hannun.round_work w SET owner = %(owner)s, epoch = w.epoch + 1, heartbeat_at = clock_timestamp()
      FROM free
     WHERE w.job = %(job)s AND w.due_at = %(due_at)s AND w.work_no = free.work_no
    RETURNING w.work_no, w.epoch, w.kind, w.channel, w.event_nos
)
SELECT work_no, epoch, kind, channel, event_nos,
       (SELECT array_agg(e.event_id::text ORDER BY position)
          FROM unnest(event_nos) WITH ORDINALITY AS listed (event_no, position) JOIN hannun.events e USING (event_no)),
       clock_timestamp()::timestamp
  FROM taken ORDER BY work_no;

-- finish --
-- A piece is done, unless somebody else has taken it meanwhile: then no row.
UPDATE hannun.round_work SET done_at = clock_timestamp(), result = %(result)s
 WHERE job = %(job)s AND due_at = %(due_at)s AND work_no = %(work_no)s AND epoch = %(epoch)s AND done_at IS NULL;

-- finish_many --
-- Several pieces are done, but those that somebody else has taken meanwhile. Returns which are.
UPDATE hannun.round_work w SET done_at = clock_timestamp(), result = done.result
  FROM jsonb_to_recordset(%(pieces)s)
       AS done (job text, due_at timestamp, work_no integer, epoch bigint, result jsonb)
 WHERE w.job = done.job AND w.due_at = done.due_at AND w.work_no = done.work_no AND w.epoch = done.epoch
   AND w.done_at IS NULL
RETURNING w.job, w.due_at, w.work_no, w.epoch;

-- heartbeat --
-- This process is alive: the round, if it is the owner, and the pieces that it works on. Others that bear its name are left to
-- get lost: it has given them up. Returns which pieces are still its own.
WITH owned AS (
    UPDATE hannun.rounds SET heartbeat_at = clock_timestamp()
     WHERE job = %(job)s AND due_at = %(due_at)s AND owner = %(owner)s AND epoch = %(epoch)s AND ended_at IS NULL
)
UPDATE hannun.round_work w SET heartbeat_at = clock_timestamp()
  FROM unnest(%(work_nos)s::int[], %(epochs)s::bigint[]) AS held (work_no, epoch)
 WHERE w.job = %(job)s AND w.due_at = %(due_at)s AND w.work_no = held.work_no AND w.epoch = held.epoch
   AND w.done_at IS NULL
RETURNING w.work_no, w.epoch;

-- take_over --
-- Become the owner of a round whose owner has written no heartbeat for too long. The epoch decides between two that try.
UPDATE hannun.rounds SET owner = %(owner)s, epoch = epoch + 1, heartbeat_at = clock_timestamp()
 WHERE job = %(job)s AND due_at = %(due_at)s AND epoch = %(epoch)s AND ended_at IS NULL
   AND heartbeat_at < clock_timestamp() - %(lost_after_s)s * interval '1 second'
RETURNING epoch;

-- open_work --
-- How many pieces of a kind are not done.
SELECT count(*) FROM hannun.round_work
 WHERE job = %(job)s AND due_at = %(due_at)s AND kind = %(kind)s AND done_at IS NULL;

-- end_round --
-- End a round whose pieces are all done. Its result adds theirs up.
UPDATE hannun.rounds r SET ended_at = clock_timestamp(),
       result = coalesce((SELECT jsonb_object_agg(name, amount) FROM (
                          SELECT name, sum(amount::bigint) AS amount FROM hannun.round_work w
                           CROSS JOIN LATERAL jsonb_each_text(w.result) AS counted (name, amount)
                           WHERE w.job = r.job AND w.due_at = r.due_at GROUP BY name) counted), '{}')
 WHERE job = %(job)s AND due_at = %(due_at)s AND epoch = %(epoch)s AND ended_at IS NULL
   AND NOT EXISTS (SELECT FROM hannun.round_work w WHERE w.job = r.job AND w.due_at = r.due_at AND w.done_at IS NULL)
RETURNING result, extract(epoch FROM ended_at - began_at)::float8;

-- newest_rounds --
-- The newest rounds of a job, newest first.
SELECT due_at, owner, epoch, began_at, deadline_at, ended_at, result, clock_timestamp()::timestamp,
       (SELECT count(*) FROM hannun.round_work w WHERE w.job = r.job AND w.due_at = r.due_at),
       (SELECT count(*) FROM hannun.round_work w
         WHERE w.job = r.job AND w.due_at = r.due_at AND w.done_at IS NOT NULL)
  FROM hannun.rounds r WHERE job = %(job)s ORDER BY due_at DESC LIMIT %(limit)s;

-- prune_work --
-- The pieces of ended rounds are of no use; those of the newest rounds stay for an operator to look at.
DELETE FROM hannun.round_work w USING hannun.rounds r
 WHERE w.job = r.job AND w.due_at = r.due_at AND r.job = %(job)s AND r.ended_at < clock_timestamp() - interval '1 hour';

-- prune_rounds --
DELETE FROM hannun.rounds WHERE job = %(job)s AND ended_at < clock_timestamp() - interval '7 days';
