-- `kong.client`.
local slot = ...
local pdk = slot.pdk
local type, ipairs, error, rawset = type, ipairs, error, rawset
local check, host, namespace, is_string, of = pdk.check, pdk.host, pdk.namespace, pdk.is_string, pdk.of
local phases = pdk.phases
local AUTHENTICATED, NOT_INIT, IN_ACCESS = pdk.sets.AUTHENTICATED, pdk.sets.NOT_INIT, pdk.sets.IN_ACCESS

local client = namespace("client", AUTHENTICATED, "get_consumer_groups get_consumer_group get_protocol load_consumer")
namespace("client", NOT_INIT, "get_ip get_forwarded_ip get_port get_forwarded_port", client)
function client.get_consumer()
  check(AUTHENTICATED)
  return slot.ngx_ctx.authenticated_consumer
end
function client.get_credential()
  check(AUTHENTICATED)
  return slot.ngx_ctx.authenticated_credential
end
function client.authenticate(consumer, credential)
  check(IN_ACCESS)
  if consumer ~= nil and type(consumer) ~= "table" then
    error("consumer must be a table or nil", 2)
  elseif credential ~= nil and type(credential) ~= "table" then
    error("credential must be a table or nil", 2)
  elseif consumer == nil and credential == nil then
    error("either credential or consumer must be provided", 2)
  end
  slot.identify(slot.ngx_ctx, consumer, credential)
end
local load_consumer = client.load_consumer
function client.load_consumer(id, by_username)
  check(AUTHENTICATED)
  if type(id) ~= "string" then
    error("consumer_id must be a string", 2)
  end
  return load_consumer(id, by_username)
end
client.tls = {}
local SHOWN = of("rewrite access balancer response log")
local BEFORE_LOG = of("rewrite access balancer response")
local chain_of_client, variable = host("client.certificate_chain"), host("ngx.var")
local set_value = host("log.set_serialize_value")
for _, name in ipairs { "request_client_certificate", "disable_session_reuse" } do
  client.tls[name] = function()
    check(phases.certificate)
    return slot.at.other("tls." .. name)
  end
end
function client.tls.set_client_ca_list(list)
  check(phases.certificate)
  return slot.at.other("tls.set_client_ca_list", slot.ders(list))
end
function client.tls.get_full_client_certificate_chain()
  check(SHOWN)
  if variable("https") ~= "on" then
    return nil, "connection is not TLS or TLS support for Nginx not enabled"
  end
  return chain_of_client()
end
function client.tls.set_client_verify(verdict)
  check(BEFORE_LOG)
  is_string(verdict, "the value")
  if verdict ~= "SUCCESS" and verdict ~= "NONE" and verdict:sub(1, 7) ~= "FAILED:" then
    error("unknown client verify value: " .. verdict
      .. " accepted values are: \"SUCCESS\", \"NONE\" or \"FAILED:<reason>\"", 2)
  end
  rawset(slot.ngx_ctx, "CLIENT_VERIFY_OVERRIDE", verdict)
  set_value("request.tls.client_verify", verdict, "replace")
end

-- The certificates of a chain (`resty.openssl.x509.chain`, `ngx.ssl`) in DER.
function slot.ders(chain)
  local ders = {}
  for i, certificate in ipairs(type(chain) == "table" and chain.certificates or {}) do
    ders[i] = certificate.info.der
  end
  return ders
end

pdk.client = client
