-- Makes of the tables of Kong 3.9 what Kong 3.7 had in their place.
DROP TABLE clustering_sync_delta, clustering_sync_version;
UPDATE schema_meta SET executed = array_remove(executed, '024_380_to_390') WHERE subsystem = 'core';
UPDATE schema_meta SET last_executed = executed[array_upper(executed, 1)];
