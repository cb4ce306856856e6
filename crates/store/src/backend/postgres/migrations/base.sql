-- What a database of Kong Gateway 3.10 has beside its entities, by Kong's names.

-- Keeps the tags of all entities in one table.
CREATE FUNCTION sync_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM tags WHERE entity_name = TG_TABLE_NAME;
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM tags WHERE entity_id = OLD.id;
        RETURN OLD;
    END IF;
    INSERT INTO tags (entity_id, entity_name, tags) VALUES (NEW.id, TG_TABLE_NAME, NEW.tags)
        ON CONFLICT (entity_id) DO UPDATE SET tags = EXCLUDED.tags;
    RETURN NEW;
END
$$;

-- Whoever adds rows removes a few of those that have expired; the argument is the column that says when they do.
CREATE FUNCTION batch_delete_expired_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'DELETE FROM %1$I WHERE ctid IN (SELECT ctid FROM %1$I WHERE %2$I < CURRENT_TIMESTAMP '
        'ORDER BY %2$I LIMIT 2 FOR UPDATE SKIP LOCKED)',
        TG_TABLE_NAME, TG_ARGV[0]);
    RETURN NULL;
END
$$;

CREATE TABLE schema_meta (
    key TEXT NOT NULL,
    subsystem TEXT NOT NULL,
    last_executed TEXT,
    executed TEXT[],
    pending TEXT[],
    CONSTRAINT schema_meta_pkey PRIMARY KEY (key, subsystem)
);

CREATE TABLE locks (
    key TEXT NOT NULL,
    owner TEXT,
    ttl TIMESTAMP WITH TIME ZONE,
    CONSTRAINT locks_pkey PRIMARY KEY (key)
);
CREATE INDEX locks_ttl_idx ON locks (ttl);

CREATE TABLE tags (
    entity_id UUID NOT NULL,
    entity_name TEXT,
    tags TEXT[],
    CONSTRAINT tags_pkey PRIMARY KEY (entity_id)
);
CREATE INDEX tags_entity_name_idx ON tags (entity_name);
CREATE INDEX tags_tags_idx ON tags USING gin (tags);

CREATE TABLE cluster_events (
    id UUID NOT NULL,
    node_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    nbf TIMESTAMP WITH TIME ZONE,
    expire_at TIMESTAMP WITH TIME ZONE NOT NULL,
    channel TEXT,
    data TEXT,
    CONSTRAINT cluster_events_pkey PRIMARY KEY (id)
);
CREATE INDEX cluster_events_at_idx ON cluster_events (at);
CREATE INDEX cluster_events_channel_idx ON cluster_events (channel);
CREATE INDEX cluster_events_expire_at_idx ON cluster_events (expire_at);
CREATE TRIGGER cluster_events_ttl_trigger AFTER INSERT ON cluster_events
    FOR EACH STATEMENT EXECUTE FUNCTION batch_delete_expired_rows('expire_at');

CREATE TABLE clustering_data_planes (
    id UUID NOT NULL,
    hostname TEXT NOT NULL,
    ip TEXT NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    config_hash TEXT NOT NULL,
    ttl TIMESTAMP WITH TIME ZONE,
    version TEXT,
    sync_status TEXT NOT NULL DEFAULT 'unknown',
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'),
    labels JSONB,
    cert_details JSONB,
    rpc_capabilities TEXT[],
    CONSTRAINT clustering_data_planes_pkey PRIMARY KEY (id)
);
CREATE INDEX clustering_data_planes_ttl_idx ON clustering_data_planes (ttl);
CREATE TRIGGER clustering_data_planes_ttl_trigger AFTER INSERT ON clustering_data_planes
    FOR EACH STATEMENT EXECUTE FUNCTION batch_delete_expired_rows('ttl');

CREATE TABLE clustering_rpc_requests (
    id BIGSERIAL,
    node_id UUID NOT NULL,
    reply_to UUID NOT NULL,
    ttl TIMESTAMP WITH TIME ZONE NOT NULL,
    payload JSON NOT NULL,
    CONSTRAINT clustering_rpc_requests_pkey PRIMARY KEY (id)
);
CREATE INDEX clustering_rpc_requests_node_id_idx ON clustering_rpc_requests (node_id);

CREATE TABLE clustering_sync_version (
    version BIGSERIAL,
    CONSTRAINT clustering_sync_version_pkey PRIMARY KEY (version)
);

CREATE TABLE parameters (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT parameters_pkey PRIMARY KEY (key)
);
