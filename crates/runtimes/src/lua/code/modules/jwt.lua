-- kong.plugins.jwt.jwt_parser: JSON Web Tokens.
local _, slot = ...
local native = slot.native
local cjson, pkey = require "cjson.safe", require "resty.openssl.pkey"
local type, setmetatable, error, tostring, pairs, ipairs = type, setmetatable, error, tostring, pairs, ipairs

local PSS = pkey.PADDINGS.RSA_PKCS1_PSS_PADDING
local token = {}
token.__index = token

local hashes = { ["256"] = "sha256", ["384"] = "sha384", ["512"] = "sha512" }

-- How an algorithm is carried out: by a secret, or by a key with a padding, or with signatures of a fixed length.
local function method(algorithm)
  local kind, size = tostring(algorithm):match("^([HREP]S)(%d+)$")
  local hash = hashes[size]
  if algorithm == "EdDSA" then
    return { kind = "key" }
  elseif not hash then
    return nil
  elseif kind == "HS" then
    return { kind = "secret", hash = hash }
  end
  local options = kind == "ES" and { ecdsa_use_raw = true } or nil
  return { kind = "key", hash = hash, padding = kind == "PS" and PSS or nil, options = options }
end

local function sign(algorithm, data, key)
  local how = method(algorithm)
  if how.kind == "secret" then
    return native.hmac(how.hash, key, data)
  end
  return assert(assert(pkey.new(key)):sign(data, how.hash, how.padding, how.options))
end

-- Base64 of URLs, with or without padding.
local function decode_base64(text)
  return native.decode_base64url((tostring(text):gsub("%+", "-"):gsub("/", "_"):gsub("=+$", "")))
end

local function decode(text)
  local header_64, claims_64, signature_64, rest = text:match("^([^%.]*)%.([^%.]*)%.([^%.]*)(.*)$")
  if not header_64 or rest ~= "" then
    return nil, "invalid JWT"
  end
  local header, claims = cjson.decode(decode_base64(header_64) or ""), cjson.decode(decode_base64(claims_64) or "")
  local signature = decode_base64(signature_64)
  if type(header) ~= "table" or type(claims) ~= "table" or not signature then
    return nil, "invalid JSON"
  elseif header.typ and (type(header.typ) ~= "string" or header.typ:upper() ~= "JWT") then
    return nil, "invalid typ"
  elseif type(header.alg) ~= "string" or not method(header.alg) then
    return nil, "invalid alg"
  elseif signature == "" then
    return nil, "invalid signature"
  end
  return { token = text, header_64 = header_64, claims_64 = claims_64, signature_64 = signature_64, header = header,
    claims = claims, signature = signature }
end

function token.new(_, text)
  if type(text) ~= "string" then
    error("Token must be a string, got " .. tostring(text), 2)
  end
  local decoded, err = decode(text)
  if not decoded then
    return nil, err
  end
  return setmetatable(decoded, token)
end

function token:verify_signature(key)
  local how, data = method(self.header.alg), self.header_64 .. "." .. self.claims_64
  if how.kind == "secret" then
    return native.hmac(how.hash, key, data) == self.signature
  end
  local public, err = pkey.new(key)
  if not public then
    error("Consumer Public Key is Invalid: " .. tostring(err), 2)
  end
  return public:verify(self.signature, data, how.hash, how.padding, how.options)
end

function token.base64_decode(_, text) return decode_base64(text) end

local registered = {
  nbf = function(value) return value <= ngx.time() or nil, "token not valid yet" end,
  exp = function(value) return value > ngx.time() or nil, "token expired" end,
}

function token:verify_registered_claims(names)
  local errors
  for _, name in ipairs(names or {}) do
    local value, check = self.claims[name], registered[name]
    local ok, why
    if type(value) ~= "number" then
      why = "must be a number"
    else
      ok, why = check(value)
    end
    if not ok then
      errors = errors or {}
      errors[name] = why
    end
  end
  return errors == nil, errors
end

function token:check_maximum_expiration(most)
  if most <= 0 then
    return true
  end
  local exp = self.claims.exp
  if exp == nil or exp - ngx.time() > most then
    return false, { exp = "exceeds maximum allowed expiration" }
  end
  return true
end

-- A token with these claims.
function token.encode(claims, key, algorithm, header)
  if type(claims) ~= "table" then
    error("Argument #1 must be table", 2)
  elseif type(key) ~= "string" then
    error("Argument #2 must be string", 2)
  elseif header and type(header) ~= "table" then
    error("Argument #4 must be a table", 2)
  end
  algorithm = algorithm or "HS256"
  if not method(algorithm) then
    error("Algorithm not supported", 2)
  end
  local head = {}
  for field, value in pairs(header or { typ = "JWT", alg = algorithm }) do
    head[field] = value
  end
  local b64 = native.encode_base64url
  local data = b64(cjson.encode(head)) .. "." .. b64(cjson.encode(claims))
  return data .. "." .. b64(sign(algorithm, data, key))
end

return token
