-- Makes of the tables of Kong 3.10 what Kong 3.9 had in their place.
DROP TABLE session_metadatas;
ALTER TABLE clustering_sync_version ALTER COLUMN version TYPE INTEGER;
ALTER SEQUENCE clustering_sync_version_version_seq AS INTEGER;
CREATE TABLE clustering_sync_delta (
    version INT NOT NULL,
    type TEXT NOT NULL,
    pk JSON NOT NULL,
    ws_id UUID NOT NULL,
    entity JSON,
    FOREIGN KEY (version) REFERENCES clustering_sync_version (version) ON DELETE CASCADE
);
CREATE INDEX clustering_sync_delta_version_idx ON clustering_sync_delta (version);
UPDATE schema_meta SET executed = array_remove(executed, '025_390_to_3100') WHERE subsystem = 'core';
UPDATE schema_meta SET executed = array_remove(executed, '003_330_to_3100') WHERE subsystem = 'session';
UPDATE schema_meta SET last_executed = executed[array_upper(executed, 1)];
