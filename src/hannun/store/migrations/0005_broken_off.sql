-- A month whose detachment was interrupted accepts no rows, but counted as existing: a message for it could never be written.
CREATE OR REPLACE FUNCTION hannun.make_timeline_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts date := date_trunc('month', month)::date;
    name   text := 'timeline_data_' || to_char(starts, 'YYYY_MM');
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
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = name) THEN
        EXECUTE format('CREATE TABLE public.%I (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    END IF;
    EXECUTE format('ALTER TABLE public.timeline_data ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, starts, (starts + interval '1 month')::date);
    RETURN true;
END $$;

-- locks: nothing
