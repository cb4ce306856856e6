-- Makes of the tables of Kong 3.7 what Kong 3.4 had in their place.
DROP TABLE clustering_rpc_requests;
ALTER TABLE clustering_data_planes DROP COLUMN labels, DROP COLUMN cert_details, DROP COLUMN rpc_capabilities;
DELETE FROM schema_meta WHERE subsystem IN ('ai-proxy', 'opentelemetry');
UPDATE schema_meta SET executed = executed[1:19] WHERE subsystem = 'core';
UPDATE schema_meta SET executed = array_remove(executed, '003_350_to_360') WHERE subsystem = 'acme';
UPDATE schema_meta SET executed = array_remove(executed, '006_350_to_360') WHERE subsystem = 'rate-limiting';
UPDATE schema_meta SET executed = array_remove(executed, '001_350_to_360') WHERE subsystem = 'response-ratelimiting';
UPDATE schema_meta SET last_executed = executed[array_upper(executed, 1)];
