-- resty.openssl.x509.*: certificates, requests for them, lists of revoked ones, and what they are made of.
local name, slot = ...
local native = slot.native
local type, error, pairs, ipairs, setmetatable, tostring = type, error, pairs, ipairs, setmetatable, tostring
local concat, floor = table.concat, math.floor
local asn1 = require "resty.openssl.der"
local element, oid, integer = asn1.element, asn1.oid, asn1.integer
local modules = {}

local SEQUENCE, SET, BITS, OCTETS, UTF8, PRINTABLE, IA5 = 0x30, 0x31, 0x03, 0x04, 0x0c, 0x13, 0x16

-- What names consist of: identifiers, short names and long ones.
local ATTRIBUTES = {
  { "2.5.4.3", "CN", "commonName" }, { "2.5.4.4", "SN", "surname" }, { "2.5.4.5", "serialNumber", "serialNumber" },
  { "2.5.4.6", "C", "countryName" }, { "2.5.4.7", "L", "localityName" },
  { "2.5.4.8", "ST", "stateOrProvinceName" }, { "2.5.4.10", "O", "organizationName" },
  { "2.5.4.11", "OU", "organizationalUnitName" }, { "1.2.840.113549.1.9.1", "emailAddress", "emailAddress" },
  { "0.9.2342.19200300.100.1.1", "UID", "userId" }, { "0.9.2342.19200300.100.1.25", "DC", "domainComponent" },
}
local EXTENSIONS = {
  { "2.5.29.14", "subjectKeyIdentifier", "X509v3 Subject Key Identifier" },
  { "2.5.29.15", "keyUsage", "X509v3 Key Usage" }, { "2.5.29.17", "subjectAltName", "X509v3 Subject Alternative Name" },
  { "2.5.29.19", "basicConstraints", "X509v3 Basic Constraints" }, { "2.5.29.20", "crlNumber", "X509v3 CRL Number" },
  { "2.5.29.31", "crlDistributionPoints", "X509v3 CRL Distribution Points" },
  { "2.5.29.32", "certificatePolicies", "X509v3 Certificate Policies" },
  { "2.5.29.35", "authorityKeyIdentifier", "X509v3 Authority Key Identifier" },
  { "2.5.29.37", "extendedKeyUsage", "X509v3 Extended Key Usage" },
  { "1.3.6.1.5.5.7.1.1", "authorityInfoAccess", "Authority Information Access" },
}
local function known(list, wanted)
  for _, one in ipairs(list) do
    if one[1] == wanted or one[2] == wanted or one[3] == wanted then
      return one
    end
  end
  return type(wanted) == "string" and wanted:find("^%d+%.[%d.]+$") and { wanted, wanted, wanted } or nil
end

-- Pairs in order.
local function each(list, shown)
  return function()
    local at = 0
    return function()
      at = at + 1
      if list[at] then
        return shown(list[at])
      end
    end
  end
end

-- What is called by a name: an attribute or an extension.
local function object_of(one) return { id = one[1], sn = one[2], ln = one[3] } end

modules["resty.openssl.x509.name"] = function()
  local x509_name = {}
  local methods = {}
  local function shown(attribute)
    local long = (known(ATTRIBUTES, attribute[2]) or attribute)[3]
    return attribute[1], { blob = attribute[3], sn = attribute[1], ln = long, id = attribute[2] }
  end
  local metatable = { __index = methods }
  -- Of attributes: short names, identifiers, texts.
  function x509_name.of(attributes)
    return setmetatable({ attributes = attributes }, metatable)
  end
  function x509_name.new() return x509_name.of({}) end
  function x509_name.istype(t) return type(t) == "table" and getmetatable(t) == metatable end
  function methods:add(wanted, text)
    local found = known(ATTRIBUTES, wanted)
    if not found then
      return nil, "x509.name:add: invalid NID text " .. tostring(wanted)
    end
    self.attributes[#self.attributes + 1] = { found[2], found[1], text }
    return self
  end
  function methods:find(wanted, after)
    local found = known(ATTRIBUTES, wanted)
    for at = (after or 0) + 1, #self.attributes do
      local attribute = self.attributes[at]
      if attribute[1] == wanted or attribute[2] == wanted or found and attribute[2] == found[1] then
        local _, object = shown(attribute)
        return object, at
      end
    end
  end
  function methods:tostring()
    local parts = {}
    for i, attribute in ipairs(self.attributes) do
      parts[i] = attribute[1] .. "=" .. attribute[3]
    end
    return concat(parts, "/")
  end
  function methods:each() return each(self.attributes, shown)() end
  function methods:all()
    local all = {}
    for short, object in self:each() do
      all[short] = object
    end
    return all
  end
  function methods:count() return #self.attributes end
  function methods:der()
    local parts = {}
    for i, attribute in ipairs(self.attributes) do
      local kind = (attribute[1] == "C" or attribute[1] == "serialNumber") and PRINTABLE
        or (attribute[1] == "emailAddress" or attribute[1] == "DC") and IA5 or UTF8
      parts[i] = element(SET, element(SEQUENCE, oid(attribute[2]) .. element(kind, attribute[3])))
    end
    return element(SEQUENCE, concat(parts))
  end
  metatable.__tostring = methods.tostring
  metatable.__len = methods.count
  metatable.__pairs = function(self) return self:each() end
  metatable.__eq = function(a, b) return a:der() == b:der() end
  return x509_name
end

modules["resty.openssl.x509.altname"] = function()
  local TAGS = { email = 0x81, DNS = 0x82, URI = 0x86, IP = 0x87, RID = 0x88 }
  local ALIASES = { RFC822 = "email", RFC822Name = "email", DNSName = "DNS", UniformResourceIdentifier = "URI",
    IPAddress = "IP", ["IP Address"] = "IP" }
  local altname, methods = {}, {}
  local metatable = { __index = methods }
  -- Of kinds and octets.
  function altname.of(list) return setmetatable({ list = list }, metatable) end
  function altname.new() return altname.of({}) end
  function altname.istype(t) return type(t) == "table" and getmetatable(t) == metatable end
  function methods:add(kind, text)
    kind = ALIASES[kind] or kind
    if not TAGS[kind] then
      return nil, "x509.altname:add: unknown type " .. tostring(kind)
    elseif kind == "IP" then
      local octets = native.address_octets(text)
      if not octets then
        return nil, "x509.altname:add: invalid IP address " .. tostring(text)
      end
      text = octets
    end
    self.list[#self.list + 1] = { kind, text }
    return self
  end
  function methods:tostring()
    local parts = {}
    for i, one in ipairs(self.list) do
      parts[i] = one[1] == "IP" and "IP Address:" .. (native.address_text(one[2]) or "") or one[1] .. ":" .. one[2]
    end
    return concat(parts, ", ")
  end
  function methods:each() return each(self.list, function(one) return one[1], one[2] end)() end
  function methods:all()
    local all = {}
    for kind, text in self:each() do
      all[kind] = text
    end
    return all
  end
  function methods:index(at)
    local one = self.list[at]
    if one then
      return one[1], one[2]
    end
  end
  function methods:count() return #self.list end
  function methods:der()
    local parts = {}
    for i, one in ipairs(self.list) do
      parts[i] = element(TAGS[one[1]], one[2])
    end
    return element(SEQUENCE, concat(parts))
  end
  metatable.__tostring, metatable.__len = methods.tostring, methods.count
  metatable.__pairs = function(self) return self:each() end
  return altname
end

modules["resty.openssl.x509.extension"] = function()
  local USAGES = { "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
    "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly" }
  local PURPOSES = { serverAuth = 1, clientAuth = 2, codeSigning = 3, emailProtection = 4, timeStamping = 8,
    OCSPSigning = 9 }
  local extension, methods, values = {}, {}, {}
  local metatable = { __index = methods }
  local function words(text)
    local all = {}
    for word in text:gmatch("[^,%s]+") do
      all[#all + 1] = word
    end
    return all
  end
  function values.basicConstraints(text)
    local content = ""
    for _, word in ipairs(words(text)) do
      local key, value = word:match("^(%w+):(%w+)$")
      if key == "CA" then
        content = (value:upper() == "TRUE" and element(0x01, "\255") or "") .. content
      elseif key == "pathlen" then
        content = content .. integer(tonumber(value))
      end
    end
    return element(SEQUENCE, content)
  end
  function values.keyUsage(text)
    local bits, last = { 0, 0 }, 0
    for _, word in ipairs(words(text)) do
      local at
      for i, usage in ipairs(USAGES) do
        at = usage == word and i or at
      end
      if not at then
        return nil, "unknown usage " .. word
      end
      local octet = floor((at - 1) / 8) + 1
      bits[octet], last = bits[octet] + 2 ^ (7 - (at - 1) % 8), math.max(last, at)
    end
    local count = floor((last + 7) / 8)
    return element(BITS, string.char(count * 8 - last, unpack(bits, 1, count)))
  end
  function values.extendedKeyUsage(text)
    local parts = {}
    for i, word in ipairs(words(text)) do
      local number = PURPOSES[word]
      if not number and not word:find("^%d+%.") then
        return nil, "unknown purpose " .. word
      end
      parts[i] = oid(number and "1.3.6.1.5.5.7.3." .. number or word)
    end
    return element(SEQUENCE, concat(parts))
  end
  function values.subjectAltName(text)
    local names = require("resty.openssl.x509.altname").new()
    for _, word in ipairs(words(text)) do
      local kind, value = word:match("^(%w+):(.+)$")
      local ok, err = names:add(kind, value)
      if not ok then
        return nil, err
      end
    end
    return names:der()
  end
  function values.subjectKeyIdentifier(text, data)
    if text ~= "hash" then
      return element(OCTETS, (native.unhex((text:gsub(":", "")))))
    end
    local key = type(data) == "table" and (data.public_key or data.subject and data.subject.public_key)
    if not key then
      return nil, "subjectKeyIdentifier wants the subject"
    end
    return element(OCTETS, native.digest("sha1", asn1.key_bits(key)))
  end

  -- Of an identifier, whether it is critical, and its value in DER.
  function extension.of(id, critical, value)
    local found = known(EXTENSIONS, id) or { id, id, id }
    return setmetatable({ object = object_of(found), critical = critical, value = value }, metatable)
  end
  function extension.new(wanted, text, data)
    local found = known(EXTENSIONS, wanted)
    if not found then
      return nil, "x509.extension.new: invalid NID text " .. tostring(wanted)
    end
    local critical, rest = text:match("^(critical),?%s*(.*)$")
    rest = rest or text
    if rest:sub(1, 4) == "DER:" then
      return extension.of(found[1], critical ~= nil, native.unhex((rest:sub(5):gsub(":", ""))))
    end
    local make = values[found[2]]
    if not make then
      return nil, "x509.extension.new: " .. found[2] .. " is made of DER only (\"DER:...\") in this version"
    end
    local value, err = make(rest, data)
    if not value then
      return nil, "x509.extension.new: " .. err
    end
    return extension.of(found[1], critical ~= nil, value)
  end
  function extension.from_der(value, wanted, critical)
    local found = known(EXTENSIONS, wanted)
    if not found then
      return nil, "x509.extension.from_der: invalid NID text " .. tostring(wanted)
    end
    return extension.of(found[1], critical == true, value)
  end
  function extension.istype(t) return type(t) == "table" and getmetatable(t) == metatable end
  function methods:get_object() return self.object end
  function methods:get_critical() return self.critical end
  function methods:set_critical(critical)
    self.critical = critical == true
    return true
  end
  function methods:to_der() return self.value end
  function methods:text() return native.hex(self.value) end
  methods.tostring, metatable.__tostring = methods.text, methods.text
  function methods:der()
    return element(SEQUENCE, oid(self.object.id) .. (self.critical and element(0x01, "\255") or "")
      .. element(OCTETS, self.value))
  end
  return extension
end

-- What certificates and requests for them have in common.
local function subject_of(given, what)
  local extension, altname = require "resty.openssl.x509.extension", require "resty.openssl.x509.altname"
  local shared = {}
  function shared:get_subject_name() return self.subject end
  function shared:set_subject_name(subject)
    self.subject, self.der = subject, nil
    return true
  end
  function shared:get_pubkey()
    if not self.public_key then
      return nil, what .. ":get_pubkey: there is none"
    end
    return require("resty.openssl.pkey").of_public(self.public_key)
  end
  function shared:set_pubkey(key)
    self.public_key, self.der = native.key_der(key.real, false), nil
    return true
  end
  function shared:check_private_key(key)
    if not key:is_private() then
      return false, what .. ":check_private_key: not a private key"
    end
    return native.key_der(key.real, false) == self.public_key
  end
  function shared:get_extension(wanted, after)
    local found = known(EXTENSIONS, wanted)
    for at = (after or 0) + 1, #self.extensions do
      if found and self.extensions[at].object.id == found[1] then
        return self.extensions[at], at
      end
    end
  end
  function shared:get_extensions() return self.extensions end
  function shared:add_extension(added)
    self.extensions[#self.extensions + 1], self.der = added, nil
    return true
  end
  function shared:set_extension(added)
    for at, one in ipairs(self.extensions) do
      if one.object.id == added.object.id then
        self.extensions[at], self.der = added, nil
        return true
      end
    end
    return self:add_extension(added)
  end
  function shared:get_subject_alt_name() return self.alternatives end
  function shared:set_subject_alt_name(names)
    self.alternatives = names
    return self:set_extension(extension.of("2.5.29.17", false, names:der()))
  end
  function shared:get_version() return self.version end
  function shared:set_version(version)
    self.version, self.der = version, nil
    return true
  end
  function shared:get_signature_digest_name()
    return self.digest_name
  end
  -- Takes what was read.
  function shared:take(info)
    self.info, self.der, self.public_key = info, info.der, info.public_key
    self.subject = require("resty.openssl.x509.name").of(info.subject)
    self.extensions, self.alternatives = {}, altname.of(info.alternatives)
    for i, one in ipairs(info.extensions) do
      self.extensions[i] = extension.of(one[1], one[2], one[3])
    end
    self.digest_name, self.signed, self.signature = asn1.hash_of(info.algorithm), info.signed, info.signature
    return self
  end
  function shared:verify(key)
    if not self.signature then
      return false, what .. ":verify: it is not signed"
    end
    return native.key_verify(key.real, self.signed, self.digest_name, false, false, self.signature)
  end
  for method, f in pairs(shared) do
    given[method] = f
  end
end

-- The bits of a signature, and the algorithm by which it was made.
local function signed(content, key, digest)
  local hash = digest and digest.algorithm or key.info.name ~= "Ed25519" and "sha256" or nil
  local algorithm, why = asn1.signature_algorithm(key.info.name, hash)
  if not algorithm then
    return nil, why
  end
  content = content(algorithm)
  local signature, err = native.key_sign(key.real, content, hash, false, false)
  if not signature then
    return nil, err
  end
  return element(SEQUENCE, content .. algorithm .. element(BITS, "\0" .. signature))
end

local function list_of(extensions)
  local parts = {}
  for i, one in ipairs(extensions) do
    parts[i] = one:der()
  end
  return element(SEQUENCE, concat(parts))
end

local function written(self, what, label, format)
  if not self.der then
    return nil, what .. ":tostring: it is not signed yet"
  end
  return format == "DER" and self.der or asn1.pem(label, self.der)
end

modules["resty.openssl.x509"] = function()
  local bn, x509_name = require "resty.openssl.bn", require "resty.openssl.x509.name"
  local x509, X509 = {}, {}
  x509.__index = x509
  subject_of(x509, "x509")
  local function read(given)
    local info, err = native.certificate(given)
    if not info then
      return nil, "x509.new: " .. err
    end
    local made = setmetatable({}, x509):take(info)
    made.issuer, made.not_before, made.not_after = x509_name.of(info.issuer), info.not_before, info.not_after
    made.serial, made.version = bn.from_binary(info.serial), info.version + 1
    return made
  end
  function X509.new(given)
    if given == nil then
      local altname = require "resty.openssl.x509.altname"
      return setmetatable({ subject = x509_name.new(), issuer = x509_name.new(), extensions = {}, version = 3,
        serial = bn.new(0), not_before = 0, not_after = 0, alternatives = altname.new() }, x509)
    end
    return read(given)
  end
  function X509.istype(t) return getmetatable(t) == x509 end
  function x509:get_issuer_name() return self.issuer end
  function x509:set_issuer_name(issuer)
    self.issuer, self.der = issuer, nil
    return true
  end
  for _, end_ in ipairs { "not_before", "not_after" } do
    x509["get_" .. end_] = function(self) return self[end_] end
    x509["set_" .. end_] = function(self, time)
      self[end_], self.der = time, nil
      return true
    end
  end
  function x509:get_lifetime() return self.not_before, self.not_after end
  function x509:set_lifetime(from, to)
    self.not_before, self.not_after, self.der = from or self.not_before, to or self.not_after, nil
    return true
  end
  function x509:get_serial_number() return self.serial end
  function x509:set_serial_number(serial)
    self.serial, self.der = serial, nil
    return true
  end
  function x509:get_ca() return self.info ~= nil and self.info.is_ca end
  function x509:get_basic_constraints(part)
    local all = { ca = self:get_ca(), pathlen = self.info and self.info.path_length or -1 }
    if part then
      return all[part:lower()]
    end
    return all
  end
  function x509:digest(algorithm) return native.digest(asn1.name_of_hash(algorithm, "sha1"), self.der) end
  function x509:pubkey_digest(algorithm) return native.digest(asn1.name_of_hash(algorithm, "sha1"), self.public_key) end
  function x509:tostring(format) return written(self, "x509", "CERTIFICATE", format) end
  function x509:to_PEM() return self:tostring() end
  local function fits(pattern, host)
    pattern, host = pattern:lower(), host:lower()
    return pattern == host or pattern:sub(1, 2) == "*." and host:match("^[^.]+(%..+)$") == pattern:sub(2)
  end
  function x509:check_host(host)
    local named = false
    for kind, text in self.alternatives:each() do
      if kind == "DNS" then
        named = true
        if fits(text, host) then
          return true
        end
      end
    end
    local common = not named and self.subject:find("CN")
    return common ~= nil and common ~= false and fits(common.blob, host)
  end
  function x509:check_ip_asc(address)
    for kind, octets in self.alternatives:each() do
      if kind == "IP" and octets == native.address_octets(address) then
        return true
      end
    end
    return false
  end
  function x509:sign(key, digest)
    local der, err = signed(function(algorithm)
      local serial = self.serial:to_binary()
      serial = (serial == "" or serial:byte(1) >= 0x80) and "\0" .. serial or serial
      return element(SEQUENCE, element(0xa0, integer(self.version - 1)) .. element(0x02, serial) .. algorithm
        .. self.issuer:der() .. element(SEQUENCE, asn1.time(self.not_before) .. asn1.time(self.not_after))
        .. self.subject:der() .. self.public_key
        .. (self.extensions[1] and element(0xa3, list_of(self.extensions)) or ""))
    end, key, digest)
    if not der then
      return nil, "x509:sign: " .. err
    end
    local again = read(der)
    self:take(again.info)
    return true
  end
  return X509
end

modules["resty.openssl.x509.csr"] = function()
  local x509_name = require "resty.openssl.x509.name"
  local csr, CSR = {}, {}
  csr.__index = csr
  subject_of(csr, "x509.csr")
  function CSR.new(given)
    local altname = require "resty.openssl.x509.altname"
    local made = setmetatable({ subject = x509_name.new(), extensions = {}, version = 1, alternatives = altname.new() },
      csr)
    if given == nil then
      return made
    end
    local info, err = native.certificate_request(given)
    if not info then
      return nil, "x509.csr.new: " .. err
    end
    return made:take(info)
  end
  function CSR.istype(t) return getmetatable(t) == csr end
  function csr:tostring(format) return written(self, "x509.csr", "CERTIFICATE REQUEST", format) end
  function csr:to_PEM() return self:tostring() end
  function csr:sign(key, digest)
    self.public_key = self.public_key or native.key_der(key.real, false)
    local wanted = ""
    if self.extensions[1] then
      wanted = element(SEQUENCE, oid("1.2.840.113549.1.9.14") .. element(SET, list_of(self.extensions)))
    end
    local der, err = signed(function()
      return element(SEQUENCE, integer(self.version - 1) .. self.subject:der() .. self.public_key
        .. element(0xa0, wanted))
    end, key, digest)
    if not der then
      return nil, "x509.csr:sign: " .. err
    end
    self:take(native.certificate_request(der))
    return true
  end
  return CSR
end

modules["resty.openssl.x509.crl"] = function()
  local x509_name = require "resty.openssl.x509.name"
  local crl, CRL = {}, {}
  crl.__index = crl
  crl.__len = function(self) return #self.info.revoked end
  local function shown(one)
    return { serial_number = native.hex(one[1]):upper(), revoked_at = one[2], reason = one[3] }
  end
  crl.__pairs = function(self)
    return each(self.info.revoked, function(one) return native.hex(one[1]):upper(), shown(one) end)()
  end
  function CRL.new(given)
    local info, err = native.revocations(given or "")
    if not info then
      return nil, "x509.crl.new: " .. err
    end
    return setmetatable({ info = info }, crl)
  end
  function CRL.istype(t) return getmetatable(t) == crl end
  function crl:get_issuer_name() return x509_name.of(self.info.issuer) end
  function crl:get_last_update() return self.info.last_update end
  function crl:get_next_update() return self.info.next_update end
  function crl:get_version() return self.info.version end
  function crl:count() return #self.info.revoked end
  function crl:each() return getmetatable(self).__pairs(self) end
  function crl:get_by_serial(serial)
    local wanted = (type(serial) == "table" and serial:to_binary() or native.unhex(serial)):gsub("^%z+", "")
    for _, one in ipairs(self.info.revoked) do
      if one[1] == wanted then
        return shown(one)
      end
    end
  end
  function crl:tostring(format) return format == "DER" and self.info.der or asn1.pem("X509 CRL", self.info.der) end
  function crl:to_PEM() return self:tostring() end
  function crl:verify(key)
    local hash = asn1.hash_of(self.info.algorithm)
    return native.key_verify(key.real, self.info.signed, hash, false, false, self.info.signature)
  end
  return CRL
end

return modules[name]()
