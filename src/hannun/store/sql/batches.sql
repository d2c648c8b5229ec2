-- participant_key --
-- The key that hashes participant ids which are not UUIDs. It is created once, with the database.
SELECT participant_key FROM hannun.identity;

-- advance_position --
-- Compare-and-set: a position moves only from the start of this batch and only under its owner's epoch. No row means that
-- another consumer has counted these messages, or owns the partition now. The start of the batch is compared and not its
-- first message, since offsets have gaps (transaction markers, compaction).
UPDATE hannun.positions SET next_offset = %(end)s, leader_epoch = %(leader_epoch)s, updated_at = clock_timestamp()
 WHERE topic = %(topic)s AND partition = %(partition)s AND next_offset = %(start)s AND epoch = %(epoch)s;

-- lock_events --
-- Locks these events until the commit: what is read of them from here on stays true. In the order of their numbers, so
-- that two batches wait for each other and never deadlock. Each row also returns how many of the cached channel numbers
-- are still those of this database, how often ids of the event were forgotten, and whether any of its participants is packed.
SELECT event_no, event_id, user_id,
       (SELECT count(*) FROM hannun.channels
          JOIN unnest(%(channel_keys)s::text[], %(channel_nos)s::int[]) AS known (key, channel_no)
         USING (key, channel_no)),
       forgotten, amounts_sealed, sealed_revenue, packed > 0
  FROM hannun.events
 WHERE event_no = ANY(%(event_nos)s::int[]) ORDER BY event_no FOR UPDATE;

-- forgotten_merchants --
-- How many merchants are forgotten. None is forgotten until this transaction ends.
SELECT hannun.forgotten_merchants();

-- packed_among --
-- Which of these participants are in a segment of the ledger: their places, from 1 on.
SELECT given.place
  FROM unnest(%(event_nos)s::int[], %(participants)s::uuid[]) WITH ORDINALITY AS given (event_no, participant, place)
 CROSS JOIN LATERAL (SELECT s.participants FROM hannun.packed_participants s
                      WHERE s.event_no = given.event_no AND s.first_participant <= given.participant
                      ORDER BY s.first_participant DESC LIMIT 1) AS segment
 WHERE given.participant = ANY(segment.participants);

-- copy_participants --
-- The fast path into the ledger: it fails where a participant of the batch is already there.
COPY hannun.participants (event_no, participant, came) FROM STDIN (FORMAT binary);

-- copy_wide_participants --
-- The same for participants whose minute or channel does not fit into `came`.
COPY hannun.participants (event_no, participant, minute, channel_no) FROM STDIN;

-- add_participants --
-- Adds participants to the ledger and returns who was new. Where `came` is set, minute and channel are NULL.
INSERT INTO hannun.participants (event_no, participant, came, minute, channel_no)
SELECT event_no, participant, came, minute, channel_no
  FROM unnest(%(event_nos)s::int[], %(participants)s::uuid[], %(cames)s::int[], %(minutes)s::int[], %(channel_nos)s::int[])
       AS given (event_no, participant, came, minute, channel_no)
    ON CONFLICT (event_no, participant) DO NOTHING
RETURNING event_no, participant;

-- add_timeline_participants --
-- Participants by minute, and by month.
WITH counted AS MATERIALIZED (
    SELECT event_no, event_id, to_timestamp(minute * 60.0) AT TIME ZONE 'UTC' AS timestamp, participants
      FROM unnest(%(event_nos)s::int[], %(event_ids)s::text[], %(minutes)s::int[], %(participants)s::int[])
           AS counted (event_no, event_id, minute, participants)
), by_month AS (
    INSERT INTO hannun.timeline_months AS m (event_no, month, participants)
    SELECT event_no, date_trunc('month', timestamp), sum(participants) FROM counted GROUP BY 1, 2
        ON CONFLICT (event_no, month) DO UPDATE SET participants = m.participants + excluded.participants
)
INSERT INTO public.timeline_data AS t (event_id, timestamp, participants)
SELECT event_id, timestamp, participants FROM counted
    ON CONFLICT (event_id, timestamp) DO UPDATE SET
       participants = t.participants + excluded.participants, updated_at = clock_timestamp();

-- typed_channels --
-- Which of these channels have a type by now: from a distribution of the event, or from the channel table.
SELECT given.event_no, given.channel_no
  FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[]) AS given (event_no, channel_no)
  JOIN hannun.channels c USING (channel_no)
  LEFT JOIN hannun.distributions d USING (event_no, channel_no)
 WHERE coalesce(c.channel_type, d.channel_type) IS NOT NULL;

-- add_channel_participants --
-- Participants by channel. The type is that of the channel, or else that of the event's distribution. MERGE and not ON CONFLICT,
-- which would make, check and number a new row for each pair before it finds the old one: no other writer can add the same
-- pair, since this transaction holds the lock on its event.
MERGE INTO public.channel_stats AS s
USING (SELECT e.event_id, c.name, counted.participants,
              coalesce(c.channel_type, (SELECT d.channel_type FROM hannun.distributions d
                                         WHERE d.event_no = counted.event_no AND d.channel_no = counted.channel_no)) AS type
         FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(participants)s::int[])
              AS counted (event_no, channel_no, participants)
         JOIN hannun.events e USING (event_no)
         JOIN hannun.channels c USING (channel_no)) AS added
   ON s.event_id = added.event_id AND s.channel_name = added.name
 WHEN MATCHED THEN
      UPDATE SET participants = s.participants + added.participants, updated_at = clock_timestamp()
 WHEN NOT MATCHED THEN
      INSERT (event_id, channel_name, channel_type, participants)
      VALUES (added.event_id, added.name, added.type, added.participants);

-- add_untyped_participants --
-- Participants by a channel whose type is unknown.
INSERT INTO hannun.untyped_participants AS u (event_no, channel_no, participants)
SELECT * FROM unnest(%(event_nos)s::int[], %(channel_nos)s::int[], %(participants)s::int[])
    ON CONFLICT (event_no, channel_no) DO UPDATE SET participants = u.participants + excluded.participants;

-- remove_untyped_participants --
-- Participants whose channel had no type and has one now: they move to the channel.
DELETE FROM hannun.untyped_participants u
 USING unnest(%(event_nos)s::int[], %(channel_nos)s::int[]) AS typed (event_no, channel_no)
 WHERE u.event_no = typed.event_no AND u.channel_no = typed.channel_no
RETURNING u.event_no, u.channel_no, u.participants;

-- add_sales --
-- Adds sales to the ledger and returns which were new.
INSERT INTO hannun.sales (event_no, sale_id, amount, sold_at, channel_no, sealed_amount)
SELECT event_no, sale_id, amount, sold_at, channel_no, sealed_amount
  FROM unnest(%(event_nos)s::int[], %(sale_ids)s::text[], %(amounts)s::numeric[], %(sold_ats)s::timestamp[],
              %(channel_nos)s::int[], %(sealed_amounts)s::bytea[])
       AS given (event_no, sale_id, amount, sold_at, channel_no, sealed_amount)
    ON CONFLICT (event_no, sale_id) DO NOTHING
RETURNING event_no, sale_id;

-- add_to_events --
-- The totals of events, the start of their pending roll-up, and their new version. A sealed revenue is the new total.
UPDATE hannun.events SET
       participants = events.participants + added.participants,
       unattributed = events.unattributed + added.unattributed,
       sales = events.sales + added.sales,
       recorded_revenue = events.recorded_revenue + added.revenue,
       sealed_revenue = coalesce(added.sealed_revenue, events.sealed_revenue),
       participants_at = CASE WHEN added.participants > 0 THEN clock_timestamp() AT TIME ZONE 'UTC'
                              ELSE events.participants_at END,
       cumulative_owed_from = least(events.cumulative_owed_from, to_timestamp(added.minute * 60.0) AT TIME ZONE 'UTC'),
       version = greatest(events.version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
  FROM unnest(%(event_nos)s::int[], %(participants)s::int[], %(unattributed)s::int[], %(sales)s::int[],
              %(revenues)s::numeric[], %(minutes)s::int[], %(sealed_revenues)s::bytea[])
       AS added (event_no, participants, unattributed, sales, revenue, minute, sealed_revenue)
 WHERE events.event_no = added.event_no
RETURNING events.event_no, events.version;

-- publish_participants --
-- The totals of events, where only participants changed.
UPDATE public.event_stats SET
       total_participants = event_stats.total_participants + added.participants, updated_at = clock_timestamp()
  FROM unnest(%(event_ids)s::text[], %(participants)s::int[]) AS added (event_id, participants)
 WHERE event_stats.event_id = added.event_id;

-- publish_events --
-- The rows of events whose plan, status, sales or costs changed, computed from their sources. An event without an
-- event-created message has no row. A percentage is limited to the range of its column; the API shows the full value. A
-- figure of the plan that no message has said is 0 here, and null in the API. Of an event whose amounts are sealed, amounts
-- are NULL, so here they are 0, and so is what follows from them.
INSERT INTO public.event_stats AS s
       (event_id, event_title, user_id, total_participants, total_views, estimated_roi, target_roi, sales_growth_rate,
        total_investment, expected_revenue, status)
SELECT e.event_id, e.title, e.user_id, e.participants, c.views,
       hannun.fitted(hannun.percent(e.expected_revenue - invested.total, invested.total), 0),
       coalesce(e.target_roi, 0),
       CASE WHEN e.sales > 0
            THEN hannun.fitted(hannun.percent(e.recorded_revenue - e.baseline_revenue, e.baseline_revenue),
                               -99999999.99)
            ELSE 0 END,
       coalesce(e.total_investment, 0), coalesce(e.expected_revenue, 0), e.status
  FROM hannun.events e
  LEFT JOIN LATERAL (SELECT least(coalesce(sum(views), 0), 2147483647) AS views,
                            coalesce(sum(distribution_cost), 0) AS cost
                       FROM public.channel_stats WHERE channel_stats.event_id = e.event_id) c ON true
 CROSS JOIN LATERAL (SELECT coalesce(e.total_investment, 0) + c.cost AS total) invested
 WHERE e.event_no = ANY(%(event_nos)s::int[]) AND e.user_id IS NOT NULL
    ON CONFLICT (event_id) DO UPDATE SET
       event_title = excluded.event_title, total_participants = excluded.total_participants,
       total_views = excluded.total_views, estimated_roi = excluded.estimated_roi, target_roi = excluded.target_roi,
       sales_growth_rate = excluded.sales_growth_rate, total_investment = excluded.total_investment,
       expected_revenue = excluded.expected_revenue, status = excluded.status, updated_at = clock_timestamp();

-- add_dead_letter --
-- A message that could not be used. The same message again changes nothing.
INSERT INTO hannun.dead_letters
       (kind, reason, detail, event_id, topic, partition, topic_id, record_offset, received_at, size_bytes, hash, fields,
        sealed_amounts)
VALUES (%(kind)s, %(reason)s, %(detail)s, %(event_id)s, %(topic)s, %(partition)s, %(topic_id)s, %(offset)s,
        %(received_at)s, %(size_bytes)s, %(hash)s, %(fields)s, %(sealed_amounts)s)
    ON CONFLICT DO NOTHING;
