-- resty.openssl.*: what plugins use of it, by functions of the gateway's own.
local name, slot = ...
local native = slot.native
local type, tostring, error, setmetatable, ipairs, pairs = type, tostring, error, setmetatable, ipairs, pairs
local concat = table.concat
local modules = {}

local asn1 = require "resty.openssl.der"
local hash_of, pem_of = asn1.name_of_hash, asn1.pem

-- Digests and keyed ones hold what they are given until the end.
local function gatherer(finish)
  local hash = { parts = {} }
  function hash:update(...)
    for i = 1, select("#", ...) do
      self.parts[#self.parts + 1] = (select(i, ...))
    end
    return true
  end
  function hash:final(text)
    if text then
      self:update(text)
    end
    return finish(concat(self.parts))
  end
  function hash:reset()
    self.parts = {}
    return true
  end
  return hash
end

modules["resty.openssl.digest"] = function()
  return {
    new = function(algorithm)
      algorithm = hash_of(algorithm, "sha1")
      if not pcall(native.digest, algorithm, "") then
        return nil, "digest.new: invalid digest type \"" .. algorithm .. "\""
      end
      local hash = gatherer(function(text) return native.digest(algorithm, text) end)
      hash.algorithm = algorithm
      return hash
    end,
    istype = function(t) return type(t) == "table" and t.algorithm ~= nil and t.parts ~= nil end,
  }
end

local function keyed(key, algorithm)
  algorithm = hash_of(algorithm, "sha1")
  return gatherer(function(text) return native.hmac(algorithm, key, text) end)
end
modules["resty.openssl.hmac"] = function() return { new = keyed } end
modules["resty.openssl.mac"] = function()
  return { new = function(key, kind, _, algorithm)
    if kind ~= "HMAC" then
      return nil, "mac.new: '" .. tostring(kind) .. "' is not there in this version"
    end
    return keyed(key, algorithm)
  end }
end
modules["resty.openssl.rand"] = function() return { bytes = function(count) return native.random(count) end } end

modules["resty.openssl.kdf"] = function()
  local kdf = { PBKDF2 = "PBKDF2", HKDF = "HKDF", HKDEF_MODE_EXTRACT_AND_EXPAND = 0, HKDEF_MODE_EXTRACT_ONLY = 1,
    HKDEF_MODE_EXPAND_ONLY = 2 }
  local modes = { [0] = "both", "extract", "expand" }
  function kdf.derive(options)
    local hash = hash_of(options.md, "sha256")
    if options.type == kdf.PBKDF2 then
      return native.pbkdf2(hash, options.pass or "", options.salt or "", options.pbkdf2_iter or 1, options.outlen)
    elseif options.type == kdf.HKDF then
      return native.hkdf(hash, options.hkdf_key or "", options.salt or "", options.hkdf_info or "", options.outlen,
        modes[options.hkdf_mode or 0])
    end
    return nil, "kdf.derive: '" .. tostring(options.type) .. "' is not there in this version"
  end
  local by_name = {}
  function by_name.PBKDF2(o, length)
    return native.pbkdf2(hash_of(o.digest, "sha256"), o.pass or "", o.salt or "", o.iter or 1, length)
  end
  function by_name.HKDF(o, length)
    local mode = ({ EXTRACT_ONLY = "extract", EXPAND_ONLY = "expand" })[o.mode] or "both"
    return native.hkdf(hash_of(o.digest, "sha256"), o.key or "", o.salt or "", o.info or "", length, mode)
  end
  function kdf.new(kind)
    local derive = by_name[kind]
    if not derive then
      return nil, "kdf.new: '" .. tostring(kind) .. "' is not there in this version"
    end
    return {
      derive = function(_, length, options) return derive(options, length) end, reset = function() return true end,
    }
  end
  return kdf
end

modules["resty.openssl.cipher"] = function()
  local cipher = {}
  cipher.__index = cipher
  local lengths = { ["aes-128"] = 16, ["aes-192"] = 24, ["aes-256"] = 32, ["chacha20-poly1305"] = 32 }
  local Cipher = {}
  function Cipher.new(kind)
    kind = (kind or "aes-256-cbc"):lower()
    -- OpenSSL's other names: aes256 and id-aes256-GCM.
    kind = kind:gsub("^id%-", ""):gsub("^aes(%d%d%d)", "aes-%1"):gsub("^(aes%-%d%d%d)$", "%1-cbc")
    local length = lengths[kind] or lengths[kind:sub(1, 7)]
    local is_authenticated = kind:find("gcm", 1, true) or kind:find("poly1305", 1, true)
    if not length then
      return nil, "cipher.new: invalid cipher type \"" .. kind .. "\""
    end
    return setmetatable({ kind = kind, key_size = length, iv_size = is_authenticated and 12 or 16 }, cipher)
  end
  function Cipher.istype(t) return getmetatable(t) == cipher end
  function cipher:get_provider_name() return "default" end
  local function run(self, enciphers, task)
    local text, tag, err = native.cipher(self.kind, enciphers, task)
    self.tag = tag
    if not text then
      return nil, "cipher: " .. err
    end
    return text
  end
  function cipher:encrypt(key, iv, text, no_padding, aad)
    return run(self, true, { key = key, iv = iv, text = text, no_padding = no_padding, aad = aad })
  end
  function cipher:decrypt(key, iv, text, no_padding, aad, tag)
    return run(self, false, { key = key, iv = iv, text = text, no_padding = no_padding, aad = aad, tag = tag })
  end
  function cipher:init(key, iv, options)
    options = options or {}
    self.task = { key = key, iv = iv, no_padding = options.no_padding, aad = "" }
    self.enciphers, self.parts = options.is_encrypt == true, {}
    return true
  end
  function cipher:update_aead_aad(aad)
    self.task.aad = self.task.aad .. aad
    return true
  end
  function cipher:set_aead_tag(tag)
    self.task.tag = tag
    return true
  end
  function cipher:get_aead_tag(size) return self.tag and self.tag:sub(1, size or 16) end
  function cipher:update(...)
    for i = 1, select("#", ...) do
      self.parts[#self.parts + 1] = (select(i, ...))
    end
    return ""
  end
  function cipher:final(text)
    self.parts[#self.parts + 1] = text
    self.task.text = concat(self.parts)
    return run(self, self.enciphers, self.task)
  end
  return Cipher
end

-- Numbers of any length, as octets.
modules["resty.openssl.bn"] = function()
  local bn = {}
  bn.__index = bn
  local function new(octets) return setmetatable({ octets = (octets:gsub("^%z+", "")) }, bn) end
  function bn:to_binary(length)
    return ("\0"):rep((length or 0) - #self.octets) .. self.octets
  end
  function bn:to_hex() return self.octets == "" and "0" or native.hex(self.octets):upper() end
  function bn:to_dec()
    local digits = { 0 }
    for i = 1, #self.octets do
      local carry = self.octets:byte(i)
      for at = 1, #digits do
        carry = digits[at] * 256 + carry
        digits[at], carry = carry % 10, math.floor(carry / 10)
      end
      while carry > 0 do
        digits[#digits + 1], carry = carry % 10, math.floor(carry / 10)
      end
    end
    return concat(digits):reverse()
  end
  bn.__tostring = bn.to_dec
  bn.__eq = function(a, b) return a.octets == b.octets end
  function bn:to_number() return tonumber(self:to_dec()) end
  local function of_hex(text) return new(native.unhex(#text % 2 == 0 and text or "0" .. text) or "") end
  local function of_dec(text)
    local octets = {}
    for digit in text:gmatch("%d") do
      local carry = tonumber(digit)
      for at = 1, #octets do
        carry = octets[at] * 10 + carry
        octets[at], carry = carry % 256, math.floor(carry / 256)
      end
      if carry > 0 then
        octets[#octets + 1] = carry
      end
    end
    for at, octet in ipairs(octets) do
      octets[at] = string.char(octet)
    end
    return new(concat(octets):reverse())
  end
  return {
    new = function(number) return of_hex(("%x"):format(number or 0)) end, from_binary = new, from_hex = of_hex,
    from_dec = of_dec,
    istype = function(t) return getmetatable(t) == bn end,
  }
end

-- Keys. What is signed is a digest that holds its text, or a text.
modules["resty.openssl.pkey"] = function()
  local bn, cjson = require "resty.openssl.bn", require "cjson.safe"
  local key = {}
  key.__index = key
  local Key = { PADDINGS = {
    RSA_PKCS1_PADDING = 1, RSA_NO_PADDING = 3, RSA_PKCS1_OAEP_PADDING = 4, RSA_PKCS1_PSS_PADDING = 6,
  } }

  local function wrap(real, err)
    if not real then
      return nil, "pkey.new: " .. tostring(err)
    end
    local info = native.key_info(real)
    local kind = info.name == "RSA" and "rsaEncryption" or info.name == "Ed25519" and "ED25519" or "id-ecPublicKey"
    return setmetatable({ real = real, info = info, key_type = { sn = kind, ln = kind } }, key)
  end

  local function of_jwk(given)
    local jwk = type(given) == "table" and given or cjson.decode(given)
    if type(jwk) ~= "table" then
      return nil, "pkey.new: the JWK is no JSON"
    end
    local parts = { kty = jwk.kty, crv = jwk.crv }
    for _, part in ipairs { "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y" } do
      parts[part] = type(jwk[part]) == "string" and native.decode_base64url(jwk[part]) or nil
    end
    return wrap(native.key_of_parts(parts))
  end

  function Key.new(given, options)
    options = options or {}
    if given == nil then
      return wrap(native.key_made("RSA"))
    elseif type(given) == "table" then
      local kind = given.type == "EC" and (given.curve or "prime256v1") or given.type or "RSA"
      return wrap(native.key_made(kind, given.bits))
    elseif type(given) ~= "string" then
      return nil, "pkey.new: unexpected type of the key"
    elseif options.format == "JWK" or given:find("^%s*{") then
      return of_jwk(given)
    end
    local made, err = wrap(native.key(given))
    if made and options.type == "pr" and not made.info.private or made and options.type == "pu" and made.info.private then
      return nil, "pkey.new: the key is not of the type " .. options.type
    end
    return made, err
  end
  function Key.istype(t) return getmetatable(t) == key end

  function key:is_private() return self.info.private end
  function key:get_key_type(as_nid) return as_nid and self.info.name or self.key_type end
  function key:get_size() return #(self.info.n or (self.info.x .. (self.info.y or ""))) end
  function key:get_parameters()
    local parameters = {}
    for part, octets in pairs(self.info) do
      parameters[part] = #part == 1 and bn.from_binary(octets) or nil
    end
    return parameters
  end

  local HASHES = { sha1 = "sha1", sha256 = "sha256", sha384 = "sha384", sha512 = "sha512" }
  -- The hash of the padding: none for that of PKCS #1 1.5.
  local function padding_of(padding, options)
    padding = padding or 1
    if padding == 4 then
      return HASHES[hash_of((options or {}).oaep_md, "sha1")] or "none"
    end
    return padding ~= 1 and "none" or nil
  end
  function key:encrypt(text, padding, options)
    local out, err = native.key_encrypt(self.real, text, padding_of(padding, options))
    return out, err and "pkey:encrypt: " .. err
  end
  function key:decrypt(text, padding, options)
    local out, err = native.key_decrypt(self.real, text, padding_of(padding, options))
    return out, err and "pkey:decrypt: " .. err
  end
  function key:derive(other)
    local out, err = native.key_derive(self.real, other.real)
    return out, err and "pkey:derive: " .. err
  end
  function key:get_default_digest_type()
    local hash = self.info.name ~= "Ed25519" and "SHA256" or "UNDEF"
    return { sn = hash, ln = hash:lower() }
  end

  -- The numbers of a private key, as a JSON Web Key has them.
  local function secrets_of(octets, info)
    local inner = asn1.children(asn1.children(octets)[3])
    if info.n then
      local names, parts = { "n", "e", "d", "p", "q", "dp", "dq", "qi" }, {}
      for i, part in ipairs(names) do
        parts[part] = (inner[i + 1]:gsub("^%z+", ""))
      end
      return parts
    end
    return { d = info.y and inner[2] or asn1.children(octets)[3]:sub(-32) }
  end

  function key:tostring(half, format)
    local private = half == "private" or half == "PrivateKey"
    if format == "JWK" then
      local info, b64 = self.info, native.encode_base64url
      local jwk = info.n and { kty = "RSA", n = b64(info.n), e = b64(info.e) }
        or { kty = info.y and "EC" or "OKP", crv = info.name, x = b64(info.x), y = info.y and b64(info.y) }
      if private then
        local der = native.key_der(self.real, true)
        if not der then
          return nil, "pkey:tostring: the key has no private half"
        end
        for part, octets in pairs(secrets_of(der, info)) do
          jwk[part] = b64(octets)
        end
      end
      return cjson.encode(jwk)
    end
    local octets = native.key_der(self.real, private)
    if not octets then
      return nil, "pkey:tostring: the key has no private half"
    end
    return format == "DER" and octets or pem_of(private and "PRIVATE KEY" or "PUBLIC KEY", octets)
  end
  function key:to_PEM(half) return self:tostring(half, "PEM") end

  local function subject(given, algorithm)
    if type(given) == "table" and given.parts then
      return concat(given.parts), given.algorithm
    end
    return given, algorithm and hash_of(algorithm) or nil
  end
  function key:sign(given, algorithm, padding, options)
    local text, hash = subject(given, algorithm)
    local signature, err = native.key_sign(self.real, text, hash, padding == 6, (options or {}).ecdsa_use_raw == true)
    if not signature then
      return nil, "pkey:sign: " .. err
    end
    return signature
  end
  function key:verify(signature, given, algorithm, padding, options)
    local text, hash = subject(given, algorithm)
    local raw = (options or {}).ecdsa_use_raw == true
    return native.key_verify(self.real, text, hash, padding == 6, raw, signature)
  end
  Key.of_public = function(der) return wrap(native.key(der)) end
  return Key
end

modules["resty.openssl.x509.chain"] = function()
  return { new = function()
    local chain = { certificates = {} }
    chain.ctx = chain
    function chain:add(certificate)
      self.certificates[#self.certificates + 1] = certificate
      return true
    end
    return setmetatable(chain, { __len = function(t) return #t.certificates end })
  end }
end

modules["resty.openssl.x509.store"] = function()
  return { new = function()
    local store = { certificates = {} }
    store.ctx = store
    function store:add(certificate)
      self.certificates[#self.certificates + 1] = certificate
      return true
    end
    function store:verify(certificate, chain)
      local function ders(list)
        local all = {}
        for i, one in ipairs(list or {}) do
          all[i] = one.info.der
        end
        return all
      end
      local others, known = ders((chain or {}).certificates), ders(self.certificates)
      local ok, err = native.vouched_for(certificate.info.der, others, known)
      return ok or nil, err
    end
    return store
  end }
end

modules["resty.openssl.version"] = function()
  return { version_num = 0x30000000, OPENSSL_3X = true, version_text = "aws-lc", BORINGSSL = false }
end
modules["resty.openssl"] = function()
  local openssl = { _VERSION = "1.5.1", load_modules = function() end, get_fips_mode = function() return false end }
  function openssl.load_modules()
    for _, part in ipairs { "bn", "cipher", "digest", "hmac", "kdf", "mac", "pkey", "rand", "version", "x509" } do
      openssl[part] = require("resty.openssl." .. part)
    end
  end
  return openssl
end

return modules[name]()
