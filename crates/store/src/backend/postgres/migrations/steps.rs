//! What Kong's migrations since 3.4 do, by their names: from the tables and rows of one version to those of the next.
//! Those before are part of how tables are made.

/// One migration.
#[derive(Debug)]
pub struct Step {
    pub subsystem: &'static str,
    pub name: &'static str,
    /// What nodes of the former version do not mind (`up`).
    pub up: &'static str,
    /// What they would mind (`finish`). A migration that has it is pending until then.
    pub finish: Option<&'static str>,
}

/// In the order in which they are run.
pub const STEPS: &[Step] = &[
    Step {
        subsystem: "core",
        name: "021_340_to_350",
        up: "ALTER TABLE clustering_data_planes ADD COLUMN IF NOT EXISTS labels JSONB",
        finish: None,
    },
    Step {
        subsystem: "core",
        name: "022_350_to_360",
        up: "ALTER TABLE clustering_data_planes ADD COLUMN IF NOT EXISTS cert_details JSONB",
        finish: None,
    },
    Step {
        subsystem: "core",
        name: "023_360_to_370",
        up: "CREATE TABLE IF NOT EXISTS clustering_rpc_requests (
                id BIGSERIAL,
                node_id UUID NOT NULL,
                reply_to UUID NOT NULL,
                ttl TIMESTAMP WITH TIME ZONE NOT NULL,
                payload JSON NOT NULL,
                CONSTRAINT clustering_rpc_requests_pkey PRIMARY KEY (id)
            );
            CREATE INDEX IF NOT EXISTS clustering_rpc_requests_node_id_idx ON clustering_rpc_requests (node_id);
            ALTER TABLE clustering_data_planes ADD COLUMN IF NOT EXISTS rpc_capabilities TEXT[]",
        finish: None,
    },
    Step {
        subsystem: "core",
        name: "024_380_to_390",
        up: "CREATE TABLE IF NOT EXISTS clustering_sync_version (
                version BIGSERIAL,
                CONSTRAINT clustering_sync_version_pkey PRIMARY KEY (version)
            )",
        finish: None,
    },
    Step {
        subsystem: "core",
        name: "025_390_to_3100",
        // Kong 3.9 counted versions in 32 bits, and kept what changed between them.
        up: "DROP TABLE IF EXISTS clustering_sync_delta;
            ALTER SEQUENCE clustering_sync_version_version_seq AS BIGINT NO MAXVALUE;
            ALTER TABLE clustering_sync_version ALTER COLUMN version TYPE BIGINT",
        finish: None,
    },
    Step {
        subsystem: "acme",
        name: "003_350_to_360",
        up: "UPDATE plugins SET config = jsonb_set(config, '{storage_config,redis}', old.redis || jsonb_build_object(
                'password', COALESCE(NULLIF(old.redis -> 'auth', 'null'), old.redis -> 'password'),
                'server_name', COALESCE(NULLIF(old.redis -> 'ssl_server_name', 'null'), old.redis -> 'server_name'),
                'extra_options', jsonb_build_object(
                    'scan_count',
                    COALESCE(old.redis -> 'scan_count', old.redis #> '{extra_options,scan_count}'),
                    'namespace',
                    COALESCE(old.redis -> 'namespace', old.redis #> '{extra_options,namespace}'))))
            FROM (SELECT id, config #> '{storage_config,redis}' AS redis FROM plugins) AS old
            WHERE plugins.id = old.id AND name = 'acme'
                AND old.redis ?| ARRAY['auth', 'ssl_server_name', 'scan_count', 'namespace']",
        finish: Some(
            "UPDATE plugins SET config = config #- '{storage_config,redis,auth}'
                #- '{storage_config,redis,ssl_server_name}' #- '{storage_config,redis,scan_count}'
                #- '{storage_config,redis,namespace}'
            WHERE name = 'acme'",
        ),
    },
    Step {
        subsystem: "ai-proxy",
        name: "001_360_to_370",
        up: "",
        finish: Some(
            "UPDATE plugins SET config = jsonb_set(config, '{logging,log_statistics}', 'false')
            WHERE name = 'ai-proxy' AND config ->> 'route_type' = 'llm/v1/completions'
                AND config #>> '{model,provider}' = 'anthropic' AND config #> '{logging,log_statistics}' = 'true'",
        ),
    },
    Step {
        subsystem: "opentelemetry",
        name: "001_331_to_332",
        up: "",
        finish: Some(
            "UPDATE plugins SET config = jsonb_set(config, '{queue,max_batch_size}', '200')
            WHERE name = 'opentelemetry' AND config #> '{queue,max_batch_size}' = '1'",
        ),
    },
    Step {
        subsystem: "rate-limiting",
        name: "006_350_to_360",
        up: "UPDATE plugins SET config = config || jsonb_build_object('redis',
                COALESCE(NULLIF(config -> 'redis', 'null'), '{}') || jsonb_build_object(
                'host', COALESCE(config -> 'redis_host', config #> '{redis,host}'),
                'port', COALESCE(config -> 'redis_port', config #> '{redis,port}'),
                'password', COALESCE(config -> 'redis_password', config #> '{redis,password}'),
                'username', COALESCE(config -> 'redis_username', config #> '{redis,username}'),
                'ssl', COALESCE(config -> 'redis_ssl', config #> '{redis,ssl}'),
                'ssl_verify', COALESCE(config -> 'redis_ssl_verify', config #> '{redis,ssl_verify}'),
                'server_name', COALESCE(config -> 'redis_server_name', config #> '{redis,server_name}'),
                'timeout', COALESCE(config -> 'redis_timeout', config #> '{redis,timeout}'),
                'database', COALESCE(config -> 'redis_database', config #> '{redis,database}')))
            WHERE name = 'rate-limiting' AND config ? 'redis_host'",
        finish: Some(
            "UPDATE plugins SET config = config - ARRAY['redis_host', 'redis_port', 'redis_password',
                'redis_username', 'redis_ssl', 'redis_ssl_verify', 'redis_server_name',
                'redis_timeout', 'redis_database']
            WHERE name = 'rate-limiting'",
        ),
    },
    Step {
        subsystem: "response-ratelimiting",
        name: "001_350_to_360",
        up: "UPDATE plugins SET config = config || jsonb_build_object('redis',
                COALESCE(NULLIF(config -> 'redis', 'null'), '{}') || jsonb_build_object(
                'host', COALESCE(config -> 'redis_host', config #> '{redis,host}'),
                'port', COALESCE(config -> 'redis_port', config #> '{redis,port}'),
                'password', COALESCE(config -> 'redis_password', config #> '{redis,password}'),
                'username', COALESCE(config -> 'redis_username', config #> '{redis,username}'),
                'ssl', COALESCE(config -> 'redis_ssl', config #> '{redis,ssl}'),
                'ssl_verify', COALESCE(config -> 'redis_ssl_verify', config #> '{redis,ssl_verify}'),
                'server_name', COALESCE(config -> 'redis_server_name', config #> '{redis,server_name}'),
                'timeout', COALESCE(config -> 'redis_timeout', config #> '{redis,timeout}'),
                'database', COALESCE(config -> 'redis_database', config #> '{redis,database}')))
            WHERE name = 'response-ratelimiting' AND config ? 'redis_host'",
        finish: Some(
            "UPDATE plugins SET config = config - ARRAY['redis_host', 'redis_port', 'redis_password',
                'redis_username', 'redis_ssl', 'redis_ssl_verify', 'redis_server_name',
                'redis_timeout', 'redis_database']
            WHERE name = 'response-ratelimiting'",
        ),
    },
    Step {
        subsystem: "session",
        name: "003_330_to_3100",
        up: "CREATE TABLE IF NOT EXISTS session_metadatas (
                id UUID NOT NULL,
                session_id UUID,
                sid TEXT,
                subject TEXT,
                audience TEXT,
                created_at TIMESTAMP WITH TIME ZONE,
                CONSTRAINT session_metadatas_pkey PRIMARY KEY (id),
                CONSTRAINT session_metadatas_session_id_fkey
                    FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE
            );
            CREATE INDEX IF NOT EXISTS session_id_idx ON session_metadatas (session_id);
            CREATE INDEX IF NOT EXISTS subject_audience_idx ON session_metadatas (subject, audience)",
        finish: None,
    },
];

/// The step of a migration.
pub fn step(subsystem: &str, name: &str) -> Option<&'static Step> {
    STEPS.iter().find(|step| step.subsystem == subsystem && step.name == name)
}
