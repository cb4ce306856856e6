-- resty.evp: signers and verifiers as lua-resty-jwt wants them, by `resty.openssl`.
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
