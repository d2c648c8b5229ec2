-- version_is_readable --
-- Whether this role may read the schema's version; NULL where the database has no version table.
SELECT CASE WHEN to_regclass('hannun.schema_version') IS NOT NULL
            THEN has_table_privilege('hannun.schema_version', 'SELECT') END;

-- oldest_usable_version --
-- The oldest version of code that can use this schema.
SELECT oldest_version FROM hannun.schema_compatibility;
