-- ngx.ssl and resty.kong.tls: what a client that connects is asked for and shown.
local name, slot = ...
local native = slot.native
local type, error = type, error
local modules = {}

local function decide(what, ...)
  if slot.at.name ~= "certificate" then
    error("API disabled in the current context", 3)
  end
  return slot.at.other(what, ...)
end

-- Texts of certificates as a chain of `resty.openssl.x509`.
local function chain_of(ders)
  local chain = { certificates = {} }
  for i = 1, #ders do
    chain.certificates[i] = { info = { der = ders[i] } }
  end
  chain.ctx = chain
  return chain
end

modules["ngx.ssl"] = function()
  local ssl = { SSL3_VERSION = 0x0300, TLS1_VERSION = 0x0301, TLS1_1_VERSION = 0x0302, TLS1_2_VERSION = 0x0303,
    TLS1_3_VERSION = 0x0304 }
  local versions = { ["TLSv1.2"] = ssl.TLS1_2_VERSION, ["TLSv1.3"] = ssl.TLS1_3_VERSION }

  function ssl.server_name()
    if slot.at.name == "certificate" then
      return slot.at.other("ssl.server_name")
    end
    return ngx.var.ssl_server_name
  end
  function ssl.server_port() return tonumber(ngx.var.server_port) end
  function ssl.raw_client_addr() return decide("ssl.raw_client_addr") end
  function ssl.raw_server_addr() return decide("ssl.raw_server_addr") end
  function ssl.get_tls1_version_str()
    local version = ngx.var.ssl_protocol
    if not version then
      return nil, "the version is not agreed on"
    end
    return version
  end
  function ssl.get_tls1_version()
    local version, err = ssl.get_tls1_version_str()
    return versions[version], err
  end

  function ssl.clear_certs() return decide("ssl.clear_certs") end
  function ssl.parse_pem_cert(pem)
    local ders, err = native.certificates_of_pem(pem)
    return ders and chain_of(ders), err
  end
  function ssl.parse_der_cert(der)
    local ders, err = native.certificates_of_der(der)
    return ders and chain_of(ders), err
  end
  function ssl.cert_pem_to_der(pem)
    local ders, err = native.certificates_of_pem(pem)
    return ders and table.concat(ders), err
  end
  function ssl.parse_pem_priv_key(pem)
    local der, err = native.key_of_pem(pem)
    return der and { der = der }, err
  end
  function ssl.parse_der_priv_key(der) return { der = der } end
  function ssl.priv_key_pem_to_der(pem) return native.key_of_pem(pem) end
  function ssl.set_cert(chain) return decide("ssl.set_cert", slot.ders(chain)) end
  function ssl.set_der_cert(der)
    local ders, err = native.certificates_of_der(der)
    if not ders then
      return nil, err
    end
    return decide("ssl.set_cert", ders)
  end
  function ssl.set_priv_key(key) return decide("ssl.set_priv_key", type(key) == "table" and key.der or nil) end
  function ssl.set_der_priv_key(der) return decide("ssl.set_priv_key", der) end
  function ssl.verify_client() error("ngx.ssl.verify_client is not there in this version", 2) end
  return ssl
end

modules["resty.kong.tls"] = function()
  local tls = { get_full_client_certificate_chain = kong.client.tls.get_full_client_certificate_chain }
  function tls.request_client_certificate() return decide("tls.request_client_certificate") end
  function tls.disable_session_reuse() return decide("tls.disable_session_reuse") end
  function tls.disable_http2_alpn() return decide("tls.disable_http2_alpn") end
  function tls.set_client_ca_list(list) return decide("tls.set_client_ca_list", slot.ders(list)) end
  -- Of connections with services (`kong.service`).
  tls.set_upstream_cert_and_key = kong.service.set_tls_cert_key
  tls.set_upstream_ssl_verify = kong.service.set_tls_verify
  tls.set_upstream_ssl_verify_depth = kong.service.set_tls_verify_depth
  tls.set_upstream_ssl_trusted_store = kong.service.set_tls_verify_store
  return tls
end

return modules[name]()
