-- Rows as Kong 3.4 wrote them.
INSERT INTO services
    (id, created_at, updated_at, name, retries, protocol, host, port, connect_timeout, write_timeout, read_timeout,
    enabled, ws_id)
    SELECT '00000000-0000-4000-8000-000000000001', now(), now(), 's', 5, 'http', 'h.test', 80, 60000, 60000, 60000,
    true, id FROM workspaces;
INSERT INTO routes
    (id, created_at, updated_at, name, service_id, protocols, paths, regex_priority, strip_path, preserve_host,
    path_handling, https_redirect_status_code, request_buffering, response_buffering, ws_id)
    SELECT '00000000-0000-4000-8000-000000000002', now(), now(), 'r', '00000000-0000-4000-8000-000000000001',
    '{http,https}', '{/s}', 0, true, false, 'v0', 426, true, true, id FROM workspaces;
INSERT INTO consumers (id, created_at, username, ws_id)
    SELECT '00000000-0000-4000-8000-000000000003', now(), 'u', id FROM workspaces;
INSERT INTO keyauth_credentials (id, created_at, consumer_id, key, ws_id)
    SELECT '00000000-0000-4000-8000-000000000004', now(), '00000000-0000-4000-8000-000000000003', 'k', id
    FROM workspaces;
INSERT INTO plugins (id, created_at, name, config, enabled, cache_key, protocols, ws_id)
    SELECT '00000000-0000-4000-8000-000000000005', now(), 'key-auth',
    '{"key_names": ["apikey"], "hide_credentials": false, "anonymous": null, "key_in_header": true,
    "key_in_query": true, "key_in_body": false, "run_on_preflight": true}',
    true, 'plugins:key-auth:::::' || id, '{http,https}', id FROM workspaces;
INSERT INTO plugins (id, created_at, name, config, enabled, cache_key, protocols, route_id, ws_id)
    SELECT '00000000-0000-4000-8000-000000000006', now(), 'rate-limiting',
    '{"second": null, "minute": null, "hour": null, "day": null, "month": null, "year": 3, "limit_by": "consumer",
    "header_name": null, "path": null, "policy": "local", "fault_tolerant": true, "redis_host": "r.test",
    "redis_port": 6379, "redis_password": "p", "redis_username": null, "redis_ssl": false, "redis_ssl_verify": false,
    "redis_server_name": null, "redis_timeout": 2000, "redis_database": 3, "hide_client_headers": false,
    "error_code": 429, "error_message": "API rate limit exceeded", "sync_rate": -1}',
    true, 'plugins:rate-limiting:00000000-0000-4000-8000-000000000002::::' || id, '{http,https}',
    '00000000-0000-4000-8000-000000000002', id FROM workspaces;
INSERT INTO plugins (id, created_at, name, config, enabled, cache_key, protocols, ws_id)
    SELECT '00000000-0000-4000-8000-000000000007', now(), 'acme',
    '{"account_email": "a@b.test", "account_key": null, "api_uri": "https://a.test", "tos_accepted": true,
    "storage": "redis", "domains": ["a.test"], "storage_config": {"redis": {"host": "h", "port": 1, "auth": "p",
    "ssl": false, "ssl_verify": false, "ssl_server_name": "sn", "database": 0, "scan_count": 10, "namespace": "ns",
    "timeout": 2000}, "shm": {"shm_name": "kong"}}}',
    false, 'plugins:acme:::::' || id, '{grpc,grpcs,http,https}', id FROM workspaces;
INSERT INTO plugins (id, created_at, name, config, enabled, cache_key, protocols, ws_id)
    SELECT '00000000-0000-4000-8000-000000000008', now(), 'opentelemetry',
    '{"endpoint": "http://o.test", "queue": {"max_batch_size": 1, "max_entries": 10000}, "batch_span_count": null}',
    false, 'plugins:opentelemetry:::::' || id, '{http,https}', id FROM workspaces;
