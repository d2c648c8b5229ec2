-- The audit log: who saw or changed what, when and why.
CREATE TABLE hannun.audit_subjects (
    subject_ref bytea     NOT NULL PRIMARY KEY CHECK (octet_length(subject_ref) = 32),
    kind        text      NOT NULL CHECK (char_length(kind) <= 20),
    salt        bytea,
    subject_id  text      CHECK (char_length(subject_id) <= 200),
    CHECK ((salt IS NULL) = (subject_id IS NULL))
);
CREATE UNIQUE INDEX audit_subjects_id ON hannun.audit_subjects (kind, subject_id) WHERE subject_id IS NOT NULL;

CREATE TABLE hannun.audit_log (
    entry_no      bigint    NOT NULL PRIMARY KEY,
    at            timestamp NOT NULL,
    actor         bytea     NOT NULL,
    action        text      NOT NULL CHECK (char_length(action) <= 40),
    object        text      NOT NULL CHECK (char_length(object) <= 500),
    subject       bytea,
    reason        text      NOT NULL DEFAULT '' CHECK (char_length(reason) <= 500),
    previous_hash bytea     NOT NULL,
    hash          bytea     NOT NULL
);
CREATE INDEX audit_log_at ON hannun.audit_log (at);
CREATE INDEX audit_log_object ON hannun.audit_log (object, at);

CREATE FUNCTION hannun.audit_subject(wanted_kind text, wanted_id text) RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bytea;
    salt  bytea := sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'));
BEGIN
    LOOP
        SELECT subject_ref INTO found FROM hannun.audit_subjects
         WHERE kind = wanted_kind AND subject_id = wanted_id;
        IF found IS NOT NULL THEN
            RETURN found;
        END IF;
        INSERT INTO hannun.audit_subjects (subject_ref, kind, salt, subject_id)
        VALUES (sha256(salt || convert_to(wanted_kind || ' ' || wanted_id, 'UTF8')), wanted_kind, salt, wanted_id)
            ON CONFLICT (kind, subject_id) WHERE subject_id IS NOT NULL DO NOTHING;
    END LOOP;
END $$;

CREATE FUNCTION hannun.audit_field(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT int4send(coalesce(octet_length(value), -1)) || coalesce(value, '')
$$;

CREATE FUNCTION hannun.chain_audit_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest  hannun.audit_log;
    is_copy boolean := NEW.hash IS NOT NULL;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('hannun.audit_log'));
    SELECT * INTO newest FROM hannun.audit_log ORDER BY entry_no DESC LIMIT 1;
    IF is_copy AND NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only the owner copies entries of the audit log';
    END IF;
    IF NOT is_copy THEN
        NEW.entry_no := coalesce(newest.entry_no, 0) + 1;
        NEW.at := greatest(clock_timestamp() AT TIME ZONE 'UTC', newest.at);
        NEW.previous_hash := coalesce(newest.hash, decode(repeat('00', 32), 'hex'));
        NEW.hash := sha256(
            NEW.previous_hash || int8send(NEW.entry_no)
            || int8send((extract(epoch FROM NEW.at) * 1000000)::bigint)
            || hannun.audit_field(NEW.actor) || hannun.audit_field(convert_to(NEW.action, 'UTF8'))
            || hannun.audit_field(convert_to(NEW.object, 'UTF8')) || hannun.audit_field(NEW.subject)
            || hannun.audit_field(convert_to(NEW.reason, 'UTF8')));
    ELSIF NEW.entry_no <= newest.entry_no THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entries of the audit log are copied in their order';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chain_audit_entry BEFORE INSERT ON hannun.audit_log
    FOR EACH ROW EXECUTE FUNCTION hannun.chain_audit_entry();

CREATE FUNCTION hannun.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format('%s of %s is refused: it is append-only', TG_OP, TG_TABLE_NAME);
END $$;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hannun.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION hannun.refuse_change();
CREATE TRIGGER refuse_change BEFORE DELETE OR TRUNCATE ON hannun.audit_subjects
    FOR EACH STATEMENT EXECUTE FUNCTION hannun.refuse_change();
CREATE TRIGGER refuse_other_changes BEFORE UPDATE ON hannun.audit_subjects
    FOR EACH ROW WHEN (NEW.subject_ref <> OLD.subject_ref OR NEW.kind <> OLD.kind OR NEW.subject_id IS NOT NULL)
    EXECUTE FUNCTION hannun.refuse_change();

REVOKE UPDATE, DELETE ON hannun.audit_log FROM analytics_readwrite;
REVOKE DELETE ON hannun.audit_subjects FROM analytics_readwrite;

-- locks: nothing
