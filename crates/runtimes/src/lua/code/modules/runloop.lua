-- What plugins ask of Kong's core beside its development kit: the health of upstreams, and whose certificate a server
-- name is shown.
local name, slot = ...
local native = slot.native
local type, ipairs, error = type, ipairs, error
local modules = {}

modules["kong.runloop.balancer.upstreams"] = function()
  local upstreams = {}
  function upstreams.get_all_upstreams()
    local ids = {}
    for upstream, err in kong.db.upstreams:each(nil, { show_ws_id = true, workspace = ngx.null }) do
      if err then
        return nil, err
      end
      ids[(upstream.ws_id or kong.default_workspace) .. ":" .. upstream.name] = upstream.id
    end
    return ids
  end
  function upstreams.get_upstream_by_id(id) return kong.db.upstreams:select { id = id } end
  function upstreams.get_upstream_by_name(host) return kong.db.upstreams:select_by_name(host) or false end
  return upstreams
end

modules["kong.runloop.balancer"] = function()
  local upstreams = require "kong.runloop.balancer.upstreams"
  local balancer = { get_all_upstreams = upstreams.get_all_upstreams, get_upstream_by_id = upstreams.get_upstream_by_id,
    get_upstream_by_name = upstreams.get_upstream_by_name }
  local function health_of(id)
    local upstream, err = kong.db.upstreams:select({ id = id }, { workspace = ngx.null })
    if not upstream then
      return nil, err or "upstream not found"
    end
    return native.upstream_health(upstream.name)
  end
  -- Of each target its addresses, and how they are.
  function balancer.get_upstream_health(id)
    local known, err = health_of(id)
    return known and known.targets, err
  end
  function balancer.get_balancer_health(id)
    local known, err = health_of(id)
    return known and { health = known.health, id = id, details = { weight = known.weight } }, err
  end
  return balancer
end

-- Filters of WebAssembly are not what plugins in Lua have to do with.
modules["kong.runloop.wasm"] = function()
  return { enabled = function() return false end, filter_meta = {}, filters = {}, filters_by_name = {} }
end

modules["kong.runloop.certificate"] = function()
  local certificate = {}
  local own
  local function parsed(cert, key)
    local ssl = require "ngx.ssl"
    local chain, err = ssl.parse_pem_cert(cert)
    if not chain then
      return nil, "could not parse PEM certificate: " .. err
    end
    local secret
    secret, err = ssl.parse_pem_priv_key(key)
    if not secret then
      return nil, "could not parse PEM private key: " .. err
    end
    return { cert = chain, key = secret }
  end
  local function read(file)
    local handle = file and io.open(file, "rb")
    local text = handle and handle:read("*a")
    return handle and handle:close() and text
  end
  -- The node's own, always the same table: that it is shown is known by that.
  local function of_node()
    if not own then
      local settings = kong.configuration
      local function first(files) return type(files) == "table" and files[1] or files end
      local cert, key = read(first(settings.ssl_cert)), read(first(settings.ssl_cert_key))
      own = cert and key and parsed(cert, key) or {}
    end
    return own
  end
  -- The names with a wildcard in the place of the first and of the last label.
  function certificate.produce_wild_snis(sni)
    if type(sni) ~= "string" then
      error("sni must be a string", 2)
    end
    local star = sni:find("*", 1, true)
    if star then
      return star == 1 and sni or nil, star == #sni and sni or nil
    end
    local behind, before = sni:match("^[^.]+(%.[^.]+%..+)$"), sni:match("^(.+%.)[^.]+$")
    return behind and "*" .. behind or nil, before and before .. "*" or nil
  end
  function certificate.get_certificate(key)
    local found, err = kong.db.certificates:select { id = key.id }
    if not found then
      return nil, err or "certificate " .. key.id .. " not found"
    end
    return parsed(found.cert, found.key)
  end
  function certificate.find_certificate(sni)
    if not sni then
      return of_node()
    end
    local behind, before = certificate.produce_wild_snis(sni)
    for _, known in ipairs { sni, behind or "*", before or "*", "*" } do
      local found = kong.db.snis:select_by_name(known)
      if found then
        return certificate.get_certificate(found.certificate)
      end
    end
    return of_node()
  end
  -- Certificates that are trusted, as a store of lua-resty-openssl.
  function certificate.get_ca_certificate_store(ids)
    local store = require("resty.openssl.x509.store").new()
    for _, id in ipairs(ids) do
      local found, err = kong.db.ca_certificates:select { id = id }
      if not found then
        return nil, err or "CA Certificate '" .. id .. "' does not exist"
      end
      local made
      made, err = require("resty.openssl.x509").new(found.cert)
      if not made then
        return nil, err
      end
      store:add(made)
    end
    return store
  end
  certificate.get_ca_certificate_store_for_plugin = certificate.get_ca_certificate_store
  return certificate
end

return modules[name]()
