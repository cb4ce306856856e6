-- resty.aes, and resty.evp: signers and verifiers as lua-resty-jwt wants them, by `resty.openssl`.
local name, slot = ...
local native = slot.native

-- A cipher whose key and vector are made of a secret, as OpenSSL's `EVP_BytesToKey` makes them, or are given.
local function aes_module()
  local aes = { hash = {} }
  for _, hash in ipairs { "md5", "sha1", "sha224", "sha256", "sha384", "sha512" } do
    aes.hash[hash] = hash
  end
  function aes.cipher(size, mode)
    size, mode = size or 128, (mode or "cbc"):lower()
    if not require("resty.openssl.cipher").new("aes-" .. size .. "-" .. mode) then
      return nil
    end
    return { size = size, cipher = mode }
  end
  local function derived(hash, secret, salt, rounds, length)
    local octets, block = "", ""
    while #octets < length do
      block = native.digest(hash, block .. secret .. salt)
      for _ = 2, rounds do
        block = native.digest(hash, block)
      end
      octets = octets .. block
    end
    return octets
  end
  function aes:new(secret, salt, cipher, hash, rounds, iv_length, is_padded)
    cipher, hash, rounds = cipher or aes.cipher(), hash or aes.hash.md5, rounds or 1
    local size = cipher.size / 8
    local key, iv = secret, nil
    if type(hash) == "table" then
      if not hash.iv then
        return nil, "bad iv"
      elseif hash.method then
        key = hash.method(secret)
      end
      iv = hash.iv
      if #key ~= size then
        return nil, "bad key length"
      end
    else
      if salt and #salt ~= 8 then
        return nil, "salt must be 8 characters or nil"
      end
      local octets = derived(hash, secret, salt or "", rounds, size + 16)
      key, iv = octets:sub(1, size), octets:sub(size + 1, size + (iv_length or (cipher.cipher == "gcm" and 12 or 16)))
    end
    local kind, task = "aes-" .. cipher.size .. "-" .. cipher.cipher, { key = key, iv = iv }
    task.no_padding = is_padded == false or nil
    local function run(enciphers, text, tag)
      task.text, task.tag = text, tag
      return native.cipher(kind, enciphers, task)
    end
    return {
      encrypt = function(_, text)
        local octets, own_tag, why = run(true, text)
        if not octets then
          return nil, why
        end
        return cipher.cipher == "gcm" and { octets, own_tag } or octets
      end,
      decrypt = function(_, text, tag)
        if type(text) == "table" then
          text, tag = text[1], text[2]
        end
        local octets, _, why = run(false, text, tag)
        return octets, why
      end,
    }
  end
  return aes
end
if name == "resty.aes" then
  return aes_module()
end

local pkey, x509 = require "resty.openssl.pkey", require "resty.openssl.x509"
local PADDINGS = pkey.PADDINGS

local evp = { CONST = {
  SHA1_DIGEST = "SHA1", SHA224_DIGEST = "SHA224", SHA256_DIGEST = "SHA256", SHA384_DIGEST = "SHA384",
  SHA512_DIGEST = "SHA512", RSA_PKCS1_PADDING = 1, RSA_SSLV23_PADDING = 2, RSA_NO_PADDING = 3,
  RSA_PKCS1_OAEP_PADDING = PADDINGS.RSA_PKCS1_OAEP_PADDING, RSA_PKCS1_PSS_PADDING = PADDINGS.RSA_PKCS1_PSS_PADDING,
} }
-- Signatures of curves are two numbers of a fixed length here, so that nothing has to be made of them.
local FIXED = { ecdsa_use_raw = true }

local function public_half(payload)
  local key, err = pkey.new(payload)
  if not key then
    return nil, err
  end
  return { key = key }
end

evp.PublicKey = { new = function(_, payload) return public_half(payload) end }
evp.Cert = { new = function(_, payload)
  local certificate, err = x509.new(payload)
  if not certificate then
    return nil, err
  end
  local own = { key = certificate:get_pubkey() }
  function own.get_der() return certificate:tostring("DER") end
  function own.get_fingerprint(_, digest) return (certificate:digest(digest):gsub(".", function(octet)
    return ("%02X"):format(octet:byte())
  end)) end
  function own.verify_trust(_, file)
    local handle, why = io.open(file, "rb")
    if not handle then
      return nil, why
    end
    local text, store = handle:read("*a"), require("resty.openssl.x509.store").new()
    handle:close()
    for pem in text:gmatch("%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-.-%-%-%-%-%-END CERTIFICATE%-%-%-%-%-") do
      local authority = x509.new(pem)
      if authority then
        store:add(authority)
      end
    end
    return store:verify(certificate)
  end
  return own
end }

local function signer(options)
  return { new = function(_, pem, _, padding)
    local key, err = pkey.new(pem)
    if not key then
      return nil, err
    end
    return {
      sign = function(_, message, digest) return key:sign(message, digest, padding, options) end,
      get_raw_sig = function(_, signature) return signature end,
    }
  end }
end

local function verifier(options)
  return { new = function(_, source, padding)
    if type(source) ~= "table" or not source.key then
      return nil, "You must pass in an key_source for a public key"
    end
    return {
      verify = function(_, message, signature, digest)
        local ok = source.key:verify(signature, message, digest, padding, options)
        return ok, not ok and "Verification failed" or nil
      end,
    }
  end }
end

evp.RSASigner, evp.RSAVerifier = signer(), verifier()
evp.ECSigner, evp.ECVerifier = signer(FIXED), verifier(FIXED)

return evp
