-- squawk-ignore-file constraint-missing-not-valid
-- Participants of quiet events are moved from hannun.participants into segments of up to 97 (store/packing.py): 22 bytes a
-- participant instead of 104. Processes of the version before do not know segments, so nothing is packed before
-- `hannun migrate --pack-participants`. A database that this version creates packs from the beginning.
ALTER TABLE hannun.events
    ADD COLUMN packed          integer NOT NULL DEFAULT 0,
    ADD COLUMN participants_at timestamp;
ALTER TABLE hannun.events ADD CONSTRAINT events_packed_check CHECK (packed BETWEEN 0 AND participants);

-- Segments of the ledger: participants of an event in their order, and the `came` of each. The segments of an event do not overlap.
CREATE TABLE hannun.packed_participants (
    event_no          integer                   NOT NULL,
    first_participant uuid                      NOT NULL,
    participants      uuid[]    STORAGE PLAIN   NOT NULL,
    cames             integer[] STORAGE PLAIN   NOT NULL,
    PRIMARY KEY (event_no, first_participant),
    CONSTRAINT packed_participants_check CHECK (
        cardinality(participants) > 0 AND cardinality(participants) = cardinality(cames) AND first_participant = participants[1]
        AND array_position(participants, NULL) IS NULL AND array_position(cames, NULL) IS NULL)
);

-- One row: whether participants of quiet events are packed.
CREATE TABLE hannun.participant_packing (
    is_the_only_row boolean   PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    packs           boolean   NOT NULL DEFAULT false,
    changed_at      timestamp NOT NULL DEFAULT now()
);
INSERT INTO hannun.participant_packing DEFAULT VALUES;
REVOKE INSERT, UPDATE, DELETE ON hannun.participant_packing FROM analytics_readwrite;

CREATE OR REPLACE VIEW hannun.arrivals AS
SELECT event_no, participant, coalesce(minute, 23667840 + (came >> 6)) AS minute, coalesce(channel_no, came & 63) AS channel_no
  FROM hannun.participants
 UNION ALL
SELECT event_no, participant, 23667840 + (came >> 6), came & 63
  FROM (SELECT event_no, unnest(participants) AS participant, unnest(cames) AS came FROM hannun.packed_participants) AS packed;

-- As before, but the ledger is read by event: a join with the view would read all segments.
CREATE OR REPLACE FUNCTION hannun.make_timeline_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts  timestamp := date_trunc('month', month::timestamp);
    ends    timestamp := starts + interval '1 month';
    name    text      := 'timeline_data_' || to_char(starts, 'YYYY_MM');
    dropped boolean   := false;
    again   boolean;
BEGIN
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || name) AND NOT inhdetachpending) THEN
        RETURN false;
    END IF;
    -- One process at a time; a process that waited finds the partition. This reads pg_class, because to_regclass caches that
    -- the table was missing.
    PERFORM pg_advisory_xact_lock(hashtext('hannun.make_timeline_month'));
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name AND NOT i.inhdetachpending) THEN
        RETURN false;
    END IF;
    -- Its detachment was interrupted: it accepts no rows, and is still a partition. Finish the detachment, then re-attach it.
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name) THEN
        EXECUTE format('ALTER TABLE public.timeline_data DETACH PARTITION public.%I FINALIZE', name);
    END IF;
    -- The table of a detached month still exists, and is re-attached: a message needs it.
    again := EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = name);
    IF NOT again THEN
        dropped := EXISTS (SELECT FROM hannun.timeline_months m WHERE m.month = starts);
        EXECUTE format('CREATE TABLE public.%I (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    END IF;
    IF dropped THEN
        -- Nobody counts for this month meanwhile: its minutes cannot be written before it is attached.
        EXECUTE format(
            'INSERT INTO public.%I (event_id, timestamp, participants, views, engagement, conversions)'
            ' SELECT e.event_id, h.at, sum(h.participants), sum(h.views), sum(h.engagement), sum(h.conversions)'
            '   FROM (SELECT m.event_no, to_timestamp(a.minute * 60.0) AT TIME ZONE ''UTC'' AS at, a.participants,'
            '                0::bigint AS views, 0::bigint AS engagement, 0::bigint AS conversions'
            '           FROM hannun.timeline_months m CROSS JOIN LATERAL ('
            '                SELECT minute, count(*) AS participants FROM hannun.arrivals'
            '                 WHERE event_no = m.event_no AND minute >= extract(epoch FROM $1) / 60'
            '                   AND minute < extract(epoch FROM $2) / 60 GROUP BY minute) a'
            '          WHERE m.month = $1'
            '          UNION ALL'
            '         SELECT i.event_no, i.minute, 0, sum(i.views), sum(i.likes + i.comments + i.shares + i.clicks),'
            '                sum(i.conversions) FROM hannun.increments i WHERE i.minute >= $1 AND i.minute < $2 GROUP BY 1, 2) h'
            '   JOIN hannun.events e USING (event_no) GROUP BY 1, 2', name) USING starts, ends;
    END IF;
    EXECUTE format('ALTER TABLE public.timeline_data ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, starts, ends);
    IF again OR dropped THEN
        -- The roll-up was written without this month's minutes. Events are locked in the order in which every writer locks.
        EXECUTE format('UPDATE hannun.events e SET cumulative_owed_from = least(e.cumulative_owed_from, %L)'
                       ' WHERE e.event_no IN (SELECT h.event_no FROM hannun.events h'
                       ' WHERE h.event_id IN (SELECT event_id FROM public.%I) ORDER BY h.event_no FOR UPDATE)', starts, name);
        -- So answers that say that the month is not kept are invalidated.
        DELETE FROM hannun.attached_months a WHERE a.month = starts;
    ELSE
        INSERT INTO hannun.attached_months VALUES (starts) ON CONFLICT DO NOTHING;
    END IF;
    RETURN true;
END $$;

-- locks: hannun.events ACCESS EXCLUSIVE, scanned
