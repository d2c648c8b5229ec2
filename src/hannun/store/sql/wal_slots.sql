-- slot --
-- A replication slot: in use or not, and how much log the server keeps for it.
SELECT active, coalesce(wal_status, ''), coalesce(restart_lsn::text, ''),
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint
  FROM pg_replication_slots WHERE slot_name = %(slot)s;
