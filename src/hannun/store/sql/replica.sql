-- Whether a streaming replica shows all that the primary has committed. No statement needs a right.

-- written --
-- The log that the primary writes: (system, database, timeline, up to where it is written). With synchronous commits, what is
-- visible is flushed; without, it may only be inserted yet.
SELECT (pg_control_system()).system_identifier, d.oid::bigint,
       ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::bigint,
       CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
                                                  ELSE pg_current_wal_flush_lsn() END::text
  FROM pg_database d WHERE d.datname = current_database();

-- replayed --
-- What the replica has replayed of it: (is a replica, system, database, timeline, whether it is as far as %(position)s).
SELECT pg_is_in_recovery(), (pg_control_system()).system_identifier, d.oid::bigint,
       greatest((pg_control_recovery()).min_recovery_end_timeline, (pg_control_checkpoint()).timeline_id)::bigint,
       coalesce(pg_last_wal_replay_lsn() >= %(position)s::pg_lsn, false)
  FROM pg_database d WHERE d.datname = current_database();
