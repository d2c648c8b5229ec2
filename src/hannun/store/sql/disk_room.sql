-- write_beside_the_tables --
-- What does not fit into 64 kB goes to a temporary file on the disk of the tables, until the end of the transaction.
SELECT set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true);

-- write_temporary_file --
-- Write 40,000 rows, about 1 MB, to a temporary file.
SELECT count(*) FROM generate_series(1, 40000);
