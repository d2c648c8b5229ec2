-- version_is_readable --
-- Whether this role may read the schema's version; NULL where there is none.
SELECT CASE WHEN to_regclass('hannun.schema_version') IS NOT NULL
            THEN has_table_privilege('hannun.schema_version', 'SELECT') END;
