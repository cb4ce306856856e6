-- The tables of the entities of Kong Gateway 3.10: their columns, constraints, indexes and triggers, by Kong's names.

CREATE TABLE workspaces (
    id UUID NOT NULL,
    name TEXT,
    comment TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    meta JSONB,
    config JSONB,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    CONSTRAINT workspaces_pkey PRIMARY KEY (id),
    CONSTRAINT workspaces_name_key UNIQUE (name)
);

CREATE TABLE ca_certificates (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    cert TEXT NOT NULL,
    tags TEXT[],
    cert_digest TEXT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    CONSTRAINT ca_certificates_pkey PRIMARY KEY (id),
    CONSTRAINT ca_certificates_cert_digest_key UNIQUE (cert_digest)
);
CREATE TRIGGER ca_certificates_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON ca_certificates
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE certificates (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    cert TEXT,
    key TEXT,
    tags TEXT[],
    ws_id UUID,
    cert_alt TEXT,
    key_alt TEXT,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    CONSTRAINT certificates_pkey PRIMARY KEY (id),
    CONSTRAINT certificates_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT certificates_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX certificates_tags_idx ON certificates USING gin (tags);
CREATE TRIGGER certificates_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON certificates
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE snis (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    name TEXT NOT NULL,
    certificate_id UUID,
    tags TEXT[],
    ws_id UUID,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    CONSTRAINT snis_pkey PRIMARY KEY (id),
    CONSTRAINT snis_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT snis_name_key UNIQUE (name),
    CONSTRAINT snis_certificate_id_fkey FOREIGN KEY (certificate_id, ws_id) REFERENCES certificates(id, ws_id),
    CONSTRAINT snis_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX snis_certificate_id_idx ON snis (certificate_id);
CREATE INDEX snis_tags_idx ON snis USING gin (tags);
CREATE TRIGGER snis_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON snis
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE services (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE,
    name TEXT,
    retries BIGINT,
    protocol TEXT,
    host TEXT,
    port BIGINT,
    path TEXT,
    connect_timeout BIGINT,
    write_timeout BIGINT,
    read_timeout BIGINT,
    tags TEXT[],
    client_certificate_id UUID,
    tls_verify BOOLEAN,
    tls_verify_depth SMALLINT,
    ca_certificates UUID[],
    ws_id UUID,
    enabled BOOLEAN DEFAULT true,
    CONSTRAINT services_pkey PRIMARY KEY (id),
    CONSTRAINT services_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT services_ws_id_name_unique UNIQUE (ws_id, name),
    CONSTRAINT services_client_certificate_id_fkey FOREIGN KEY (client_certificate_id, ws_id)
        REFERENCES certificates(id, ws_id),
    CONSTRAINT services_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX services_fkey_client_certificate ON services (client_certificate_id);
CREATE INDEX services_tags_idx ON services USING gin (tags);
CREATE TRIGGER services_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON services
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE routes (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE,
    name TEXT,
    service_id UUID,
    protocols TEXT[],
    methods TEXT[],
    hosts TEXT[],
    paths TEXT[],
    snis TEXT[],
    sources JSONB[],
    destinations JSONB[],
    regex_priority BIGINT,
    strip_path BOOLEAN,
    preserve_host BOOLEAN,
    tags TEXT[],
    https_redirect_status_code INTEGER,
    headers JSONB,
    path_handling TEXT DEFAULT 'v0',
    ws_id UUID,
    request_buffering BOOLEAN,
    response_buffering BOOLEAN,
    expression TEXT,
    priority BIGINT,
    CONSTRAINT routes_pkey PRIMARY KEY (id),
    CONSTRAINT routes_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT routes_ws_id_name_unique UNIQUE (ws_id, name),
    CONSTRAINT routes_service_id_fkey FOREIGN KEY (service_id, ws_id) REFERENCES services(id, ws_id),
    CONSTRAINT routes_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX routes_service_id_idx ON routes (service_id);
CREATE INDEX routes_tags_idx ON routes USING gin (tags);
CREATE TRIGGER routes_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON routes
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE consumers (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    username TEXT,
    custom_id TEXT,
    tags TEXT[],
    ws_id UUID,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    CONSTRAINT consumers_pkey PRIMARY KEY (id),
    CONSTRAINT consumers_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT consumers_ws_id_custom_id_unique UNIQUE (ws_id, custom_id),
    CONSTRAINT consumers_ws_id_username_unique UNIQUE (ws_id, username),
    CONSTRAINT consumers_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX consumers_tags_idx ON consumers USING gin (tags);
CREATE INDEX consumers_username_idx ON consumers (lower(username));
CREATE TRIGGER consumers_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON consumers
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE plugins (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    name TEXT NOT NULL,
    consumer_id UUID,
    service_id UUID,
    route_id UUID,
    config JSONB NOT NULL,
    enabled BOOLEAN NOT NULL,
    cache_key TEXT,
    protocols TEXT[],
    tags TEXT[],
    ws_id UUID,
    instance_name TEXT,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    CONSTRAINT plugins_pkey PRIMARY KEY (id),
    CONSTRAINT plugins_cache_key_key UNIQUE (cache_key),
    CONSTRAINT plugins_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT plugins_ws_id_instance_name_unique UNIQUE (ws_id, instance_name),
    CONSTRAINT plugins_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id)
        REFERENCES consumers(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT plugins_route_id_fkey FOREIGN KEY (route_id, ws_id)
        REFERENCES routes(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT plugins_service_id_fkey FOREIGN KEY (service_id, ws_id)
        REFERENCES services(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT plugins_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX plugins_consumer_id_idx ON plugins (consumer_id);
CREATE INDEX plugins_name_idx ON plugins (name);
CREATE INDEX plugins_route_id_idx ON plugins (route_id);
CREATE INDEX plugins_service_id_idx ON plugins (service_id);
CREATE INDEX plugins_tags_idx ON plugins USING gin (tags);
CREATE TRIGGER plugins_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON plugins
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE upstreams (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(3) AT TIME ZONE 'UTC'),
    name TEXT,
    hash_on TEXT,
    hash_fallback TEXT,
    hash_on_header TEXT,
    hash_fallback_header TEXT,
    hash_on_cookie TEXT,
    hash_on_cookie_path TEXT,
    slots INTEGER NOT NULL,
    healthchecks JSONB,
    tags TEXT[],
    algorithm TEXT,
    host_header TEXT,
    client_certificate_id UUID,
    ws_id UUID,
    hash_on_query_arg TEXT,
    hash_fallback_query_arg TEXT,
    hash_on_uri_capture TEXT,
    hash_fallback_uri_capture TEXT,
    use_srv_name BOOLEAN DEFAULT false,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    CONSTRAINT upstreams_pkey PRIMARY KEY (id),
    CONSTRAINT upstreams_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT upstreams_ws_id_name_unique UNIQUE (ws_id, name),
    CONSTRAINT upstreams_client_certificate_id_fkey FOREIGN KEY (client_certificate_id)
        REFERENCES certificates(id),
    CONSTRAINT upstreams_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX upstreams_fkey_client_certificate ON upstreams (client_certificate_id);
CREATE INDEX upstreams_tags_idx ON upstreams USING gin (tags);
CREATE TRIGGER upstreams_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON upstreams
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE targets (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(3) AT TIME ZONE 'UTC'),
    upstream_id UUID,
    target TEXT NOT NULL,
    weight INTEGER NOT NULL,
    tags TEXT[],
    ws_id UUID,
    cache_key TEXT,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(3) AT TIME ZONE 'UTC'),
    CONSTRAINT targets_pkey PRIMARY KEY (id),
    CONSTRAINT targets_cache_key_key UNIQUE (cache_key),
    CONSTRAINT targets_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT targets_upstream_id_fkey FOREIGN KEY (upstream_id, ws_id)
        REFERENCES upstreams(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT targets_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX targets_tags_idx ON targets USING gin (tags);
CREATE INDEX targets_target_idx ON targets (target);
CREATE INDEX targets_upstream_id_idx ON targets (upstream_id);
CREATE TRIGGER targets_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON targets
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE sm_vaults (
    id UUID NOT NULL,
    ws_id UUID,
    prefix TEXT,
    name TEXT NOT NULL,
    description TEXT,
    config JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    updated_at TIMESTAMP WITH TIME ZONE,
    tags TEXT[],
    CONSTRAINT sm_vaults_pkey PRIMARY KEY (id),
    CONSTRAINT sm_vaults_id_ws_id_key UNIQUE (id, ws_id),
    CONSTRAINT sm_vaults_prefix_key UNIQUE (prefix),
    CONSTRAINT sm_vaults_prefix_ws_id_key UNIQUE (prefix, ws_id),
    CONSTRAINT sm_vaults_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX sm_vaults_tags_idx ON sm_vaults USING gin (tags);
CREATE TRIGGER sm_vaults_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON sm_vaults
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE key_sets (
    id UUID NOT NULL,
    name TEXT,
    tags TEXT[],
    ws_id UUID,
    created_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT key_sets_pkey PRIMARY KEY (id),
    CONSTRAINT key_sets_name_key UNIQUE (name),
    CONSTRAINT key_sets_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX key_sets_tags_idx ON key_sets USING gin (tags);
CREATE TRIGGER key_sets_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON key_sets
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE keys (
    id UUID NOT NULL,
    set_id UUID,
    name TEXT,
    cache_key TEXT,
    ws_id UUID,
    kid TEXT,
    jwk TEXT,
    pem JSONB,
    tags TEXT[],
    created_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT keys_pkey PRIMARY KEY (id),
    CONSTRAINT keys_cache_key_key UNIQUE (cache_key),
    CONSTRAINT keys_kid_set_id_key UNIQUE (kid, set_id),
    CONSTRAINT keys_name_key UNIQUE (name),
    CONSTRAINT keys_set_id_fkey FOREIGN KEY (set_id) REFERENCES key_sets(id) ON DELETE CASCADE,
    CONSTRAINT keys_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX keys_fkey_key_sets ON keys (set_id);
CREATE INDEX keys_tags_idx ON keys USING gin (tags);
CREATE TRIGGER keys_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON keys
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE filter_chains (
    id UUID NOT NULL,
    name TEXT,
    enabled BOOLEAN DEFAULT true,
    route_id UUID,
    service_id UUID,
    ws_id UUID,
    cache_key TEXT,
    filters JSONB[],
    tags TEXT[],
    created_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT filter_chains_pkey PRIMARY KEY (id),
    CONSTRAINT filter_chains_cache_key_key UNIQUE (cache_key),
    CONSTRAINT filter_chains_name_key UNIQUE (name),
    CONSTRAINT filter_chains_route_id_fkey FOREIGN KEY (route_id) REFERENCES routes(id) ON DELETE CASCADE,
    CONSTRAINT filter_chains_service_id_fkey FOREIGN KEY (service_id)
        REFERENCES services(id) ON DELETE CASCADE,
    CONSTRAINT filter_chains_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX filter_chains_cache_key_idx ON filter_chains (cache_key);
CREATE UNIQUE INDEX filter_chains_name_idx ON filter_chains (name);
CREATE INDEX filter_chains_tags_idx ON filter_chains USING gin (tags);
CREATE TRIGGER filter_chains_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON filter_chains
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE acls (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    consumer_id UUID,
    "group" TEXT,
    cache_key TEXT,
    tags TEXT[],
    ws_id UUID,
    CONSTRAINT acls_pkey PRIMARY KEY (id),
    CONSTRAINT acls_cache_key_key UNIQUE (cache_key),
    CONSTRAINT acls_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT acls_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id)
        REFERENCES consumers(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT acls_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX acls_consumer_id_idx ON acls (consumer_id);
CREATE INDEX acls_group_idx ON acls ("group");
CREATE INDEX acls_tags_idex_tags_idx ON acls USING gin (tags);
CREATE TRIGGER acls_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON acls
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE acme_storage (
    id UUID NOT NULL,
    key TEXT,
    value TEXT,
    created_at TIMESTAMP WITH TIME ZONE,
    ttl TIMESTAMP WITH TIME ZONE,
    CONSTRAINT acme_storage_pkey PRIMARY KEY (id),
    CONSTRAINT acme_storage_key_key UNIQUE (key)
);
CREATE INDEX acme_storage_ttl_idx ON acme_storage (ttl);
CREATE TRIGGER acme_storage_ttl_trigger AFTER INSERT ON acme_storage
    FOR EACH STATEMENT EXECUTE FUNCTION batch_delete_expired_rows('ttl');

CREATE TABLE basicauth_credentials (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    consumer_id UUID,
    username TEXT,
    password TEXT,
    tags TEXT[],
    ws_id UUID,
    CONSTRAINT basicauth_credentials_pkey PRIMARY KEY (id),
    CONSTRAINT basicauth_credentials_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT basicauth_credentials_ws_id_username_unique UNIQUE (ws_id, username),
    CONSTRAINT basicauth_credentials_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id)
        REFERENCES consumers(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT basicauth_credentials_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX basicauth_consumer_id_idx ON basicauth_credentials (consumer_id);
CREATE INDEX basicauth_tags_idex_tags_idx ON basicauth_credentials USING gin (tags);
CREATE TRIGGER basicauth_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON basicauth_credentials
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE hmacauth_credentials (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    consumer_id UUID,
    username TEXT,
    secret TEXT,
    tags TEXT[],
    ws_id UUID,
    CONSTRAINT hmacauth_credentials_pkey PRIMARY KEY (id),
    CONSTRAINT hmacauth_credentials_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT hmacauth_credentials_ws_id_username_unique UNIQUE (ws_id, username),
    CONSTRAINT hmacauth_credentials_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id)
        REFERENCES consumers(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT hmacauth_credentials_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX hmacauth_credentials_consumer_id_idx ON hmacauth_credentials (consumer_id);
CREATE INDEX hmacauth_tags_idex_tags_idx ON hmacauth_credentials USING gin (tags);
CREATE TRIGGER hmacauth_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON hmacauth_credentials
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE jwt_secrets (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    consumer_id UUID,
    key TEXT,
    secret TEXT,
    algorithm TEXT,
    rsa_public_key TEXT,
    tags TEXT[],
    ws_id UUID,
    CONSTRAINT jwt_secrets_pkey PRIMARY KEY (id),
    CONSTRAINT jwt_secrets_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT jwt_secrets_ws_id_key_unique UNIQUE (ws_id, key),
    CONSTRAINT jwt_secrets_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id)
        REFERENCES consumers(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT jwt_secrets_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX jwt_secrets_consumer_id_idx ON jwt_secrets (consumer_id);
CREATE INDEX jwt_secrets_secret_idx ON jwt_secrets (secret);
CREATE INDEX jwtsecrets_tags_idex_tags_idx ON jwt_secrets USING gin (tags);
CREATE TRIGGER jwtsecrets_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON jwt_secrets
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE keyauth_credentials (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    consumer_id UUID,
    key TEXT,
    tags TEXT[],
    ttl TIMESTAMP WITH TIME ZONE,
    ws_id UUID,
    CONSTRAINT keyauth_credentials_pkey PRIMARY KEY (id),
    CONSTRAINT keyauth_credentials_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT keyauth_credentials_ws_id_key_unique UNIQUE (ws_id, key),
    CONSTRAINT keyauth_credentials_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id)
        REFERENCES consumers(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT keyauth_credentials_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX keyauth_credentials_consumer_id_idx ON keyauth_credentials (consumer_id);
CREATE INDEX keyauth_credentials_ttl_idx ON keyauth_credentials (ttl);
CREATE INDEX keyauth_tags_idex_tags_idx ON keyauth_credentials USING gin (tags);
CREATE TRIGGER keyauth_credentials_ttl_trigger AFTER INSERT ON keyauth_credentials
    FOR EACH STATEMENT EXECUTE FUNCTION batch_delete_expired_rows('ttl');
CREATE TRIGGER keyauth_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON keyauth_credentials
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE oauth2_credentials (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    name TEXT,
    consumer_id UUID,
    client_id TEXT,
    client_secret TEXT,
    redirect_uris TEXT[],
    tags TEXT[],
    client_type TEXT,
    hash_secret BOOLEAN,
    ws_id UUID,
    CONSTRAINT oauth2_credentials_pkey PRIMARY KEY (id),
    CONSTRAINT oauth2_credentials_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT oauth2_credentials_ws_id_client_id_unique UNIQUE (ws_id, client_id),
    CONSTRAINT oauth2_credentials_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id)
        REFERENCES consumers(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT oauth2_credentials_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX oauth2_credentials_consumer_id_idx ON oauth2_credentials (consumer_id);
CREATE INDEX oauth2_credentials_secret_idx ON oauth2_credentials (client_secret);
CREATE INDEX oauth2_credentials_tags_idex_tags_idx ON oauth2_credentials USING gin (tags);
CREATE TRIGGER oauth2_credentials_sync_tags_trigger AFTER INSERT OR UPDATE OF tags OR DELETE ON oauth2_credentials
    FOR EACH ROW EXECUTE FUNCTION sync_tags();

CREATE TABLE oauth2_authorization_codes (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    credential_id UUID,
    service_id UUID,
    code TEXT,
    authenticated_userid TEXT,
    scope TEXT,
    ttl TIMESTAMP WITH TIME ZONE,
    challenge TEXT,
    challenge_method TEXT,
    ws_id UUID,
    plugin_id UUID,
    CONSTRAINT oauth2_authorization_codes_pkey PRIMARY KEY (id),
    CONSTRAINT oauth2_authorization_codes_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT oauth2_authorization_codes_ws_id_code_unique UNIQUE (ws_id, code),
    CONSTRAINT oauth2_authorization_codes_credential_id_fkey FOREIGN KEY (credential_id, ws_id)
        REFERENCES oauth2_credentials(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT oauth2_authorization_codes_plugin_id_fkey FOREIGN KEY (plugin_id)
        REFERENCES plugins(id) ON DELETE CASCADE,
    CONSTRAINT oauth2_authorization_codes_service_id_fkey FOREIGN KEY (service_id, ws_id)
        REFERENCES services(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT oauth2_authorization_codes_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX oauth2_authorization_codes_authenticated_userid_idx ON oauth2_authorization_codes (authenticated_userid);
CREATE INDEX oauth2_authorization_codes_ttl_idx ON oauth2_authorization_codes (ttl);
CREATE INDEX oauth2_authorization_credential_id_idx ON oauth2_authorization_codes (credential_id);
CREATE INDEX oauth2_authorization_service_id_idx ON oauth2_authorization_codes (service_id);
CREATE TRIGGER oauth2_authorization_codes_ttl_trigger AFTER INSERT ON oauth2_authorization_codes
    FOR EACH STATEMENT EXECUTE FUNCTION batch_delete_expired_rows('ttl');

CREATE TABLE oauth2_tokens (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    credential_id UUID,
    service_id UUID,
    access_token TEXT,
    refresh_token TEXT,
    token_type TEXT,
    expires_in INTEGER,
    authenticated_userid TEXT,
    scope TEXT,
    ttl TIMESTAMP WITH TIME ZONE,
    ws_id UUID,
    CONSTRAINT oauth2_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT oauth2_tokens_id_ws_id_unique UNIQUE (id, ws_id),
    CONSTRAINT oauth2_tokens_ws_id_access_token_unique UNIQUE (ws_id, access_token),
    CONSTRAINT oauth2_tokens_ws_id_refresh_token_unique UNIQUE (ws_id, refresh_token),
    CONSTRAINT oauth2_tokens_credential_id_fkey FOREIGN KEY (credential_id, ws_id)
        REFERENCES oauth2_credentials(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT oauth2_tokens_service_id_fkey FOREIGN KEY (service_id, ws_id)
        REFERENCES services(id, ws_id) ON DELETE CASCADE,
    CONSTRAINT oauth2_tokens_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)
);
CREATE INDEX oauth2_tokens_authenticated_userid_idx ON oauth2_tokens (authenticated_userid);
CREATE INDEX oauth2_tokens_credential_id_idx ON oauth2_tokens (credential_id);
CREATE INDEX oauth2_tokens_service_id_idx ON oauth2_tokens (service_id);
CREATE INDEX oauth2_tokens_ttl_idx ON oauth2_tokens (ttl);
CREATE TRIGGER oauth2_tokens_ttl_trigger AFTER INSERT ON oauth2_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION batch_delete_expired_rows('ttl');

CREATE TABLE ratelimiting_metrics (
    identifier TEXT NOT NULL,
    period TEXT NOT NULL,
    period_date TIMESTAMP WITH TIME ZONE NOT NULL,
    service_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    route_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    value INTEGER,
    ttl TIMESTAMP WITH TIME ZONE,
    CONSTRAINT ratelimiting_metrics_pkey PRIMARY KEY (identifier, period, period_date, service_id, route_id)
);
CREATE INDEX ratelimiting_metrics_idx ON ratelimiting_metrics (service_id, route_id, period_date, period);
CREATE INDEX ratelimiting_metrics_ttl_idx ON ratelimiting_metrics (ttl);
CREATE TRIGGER ratelimiting_metrics_ttl_trigger AFTER INSERT ON ratelimiting_metrics
    FOR EACH STATEMENT EXECUTE FUNCTION batch_delete_expired_rows('ttl');

CREATE TABLE response_ratelimiting_metrics (
    identifier TEXT NOT NULL,
    period TEXT NOT NULL,
    period_date TIMESTAMP WITH TIME ZONE NOT NULL,
    service_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    route_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    value INTEGER,
    CONSTRAINT response_ratelimiting_metrics_pkey PRIMARY KEY (identifier, period, period_date, service_id, route_id)
);

CREATE TABLE sessions (
    id UUID NOT NULL,
    session_id TEXT,
    expires INTEGER,
    data TEXT,
    created_at TIMESTAMP WITH TIME ZONE,
    ttl TIMESTAMP WITH TIME ZONE,
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_session_id_key UNIQUE (session_id)
);
CREATE INDEX session_sessions_expires_idx ON sessions (expires);
CREATE INDEX sessions_ttl_idx ON sessions (ttl);
CREATE TRIGGER sessions_ttl_trigger AFTER INSERT ON sessions
    FOR EACH STATEMENT EXECUTE FUNCTION batch_delete_expired_rows('ttl');

CREATE TABLE session_metadatas (
    id UUID NOT NULL,
    session_id UUID,
    sid TEXT,
    subject TEXT,
    audience TEXT,
    created_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT session_metadatas_pkey PRIMARY KEY (id),
    CONSTRAINT session_metadatas_session_id_fkey FOREIGN KEY (session_id)
        REFERENCES sessions(id) ON DELETE CASCADE
);
CREATE INDEX session_id_idx ON session_metadatas (session_id);
CREATE INDEX subject_audience_idx ON session_metadatas (subject, audience);
