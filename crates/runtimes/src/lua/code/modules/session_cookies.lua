-- How resty.session reads and writes cookies: their heads, their content and the codes that protect them.
local _, slot = ...
local native = slot.native
local type, ipairs = type, ipairs
local min, max, floor, ceil, concat = math.min, math.max, math.floor, math.ceil, table.concat
local b64, unb64 = native.encode_base64url, native.decode_base64url
local cjson, bound = require "cjson.safe", require "resty.session.origin"

local cookies = { MOST = 9 }
local KIND, HEADER, TAG, MAC, ID = 1, 110, 16, 16, 32
local STORED, DEFLATED = 0x0001, 0x0010
-- How large a cookie may be, name included.
local LARGEST, MOST = 4096, cookies.MOST
-- The longest life of a cookie, in seconds.
local LONGEST = 34560000
local ENDED = "; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0"
local ROUNDS = { Low = 1000, Medium = 10000, High = 100000, ["Very High"] = 1000000 }

local PREFIXES = { ["__Host-"] = "__Host-", ["__Secure-"] = "__Secure-" }

-- Numbers of so many octets, the least significant first.
local function octets_of(number, length)
  local out = {}
  for i = 1, length do
    out[i] = string.char(number % 256)
    number = floor(number / 256)
  end
  return concat(out)
end
local function number_of(octets)
  local number = 0
  for i = #octets, 1, -1 do
    number = number * 256 + octets:byte(i)
  end
  return number
end

-- The secret of who has named none: the workers of a node share it, as long as the process lasts.
local function random_secret()
  local dict = ngx.shared.kong
  dict:add("resty.session:ikm", native.random(32))
  return dict:get("resty.session:ikm")
end

local function secrets_of(conf)
  local all = { conf.ikm or conf.secret and native.digest("sha256", conf.secret) or random_secret() }
  for _, ikm in ipairs(conf.ikm_fallbacks or {}) do
    all[#all + 1] = ikm
  end
  for _, secret in ipairs(conf.secret_fallbacks or {}) do
    all[#all + 1] = native.digest("sha256", secret)
  end
  return all
end

local function mac_of(ikm, id, text)
  local key = native.hkdf("sha256", ikm, "", "authentication:" .. id, 32, "both")
  return native.hmac("sha256", key, text):sub(1, MAC)
end

local function cipher(ikm, id, safety, enciphers, task)
  local key
  if safety and ROUNDS[safety] then
    key = native.pbkdf2("sha256", ikm, "encryption:" .. id, ROUNDS[safety], 44)
  else
    key = native.hkdf("sha256", ikm, "", "encryption:" .. id, 44, "both")
  end
  task.key, task.iv = key:sub(1, 32), key:sub(33)
  return native.cipher("aes-256-gcm", enciphers, task)
end

local function attributes_of(conf)
  local parts, same_site, prefix = {}, conf.cookie_same_site, PREFIXES[conf.cookie_prefix]
  local function add(text)
    parts[#parts + 1] = "; " .. text
  end
  local domain = conf.cookie_domain
  if domain and domain ~= "" and domain ~= "localhost" and prefix ~= "__Host-" then
    add("Domain=" .. domain)
  end
  add("Path=" .. (prefix == "__Host-" and "/" or conf.cookie_path or "/"))
  if same_site and same_site ~= "Default" then
    add("SameSite=" .. same_site)
  end
  if conf.cookie_priority then
    add("Priority=" .. conf.cookie_priority)
  end
  if conf.cookie_partitioned then
    add("Partitioned")
  end
  if conf.cookie_same_party then
    add("SameParty")
  end
  if conf.cookie_secure or same_site == "None" or prefix or conf.cookie_same_party then
    add("Secure")
  end
  if conf.cookie_http_only then
    add("HttpOnly")
  end
  return concat(parts)
end

-- How many cookies that much content takes; nil for more than there may be.
local function count_of(name, length)
  local space = #name + 1 + HEADER + length
  for count = 1, MOST do
    if space + (count - 1) * (#name + 2) <= count * LARGEST then
      return count
    end
  end
end

local function name_of(name, number) return number == 1 and name or name .. number end

-- Puts a cookie into the response, in the place of one of that name.
local function set_cookie(name, value, attributes)
  local lines, found = ngx.header["Set-Cookie"], false
  lines = type(lines) == "table" and lines or { lines }
  for i, line in ipairs(lines) do
    if line:sub(1, #name + 1) == name .. "=" then
      lines[i], found = name .. "=" .. value .. attributes, true
    end
  end
  if not found then
    lines[#lines + 1] = name .. "=" .. value .. attributes
  end
  ngx.header["Set-Cookie"] = lines
end

local function end_cookies(self, name, from, to)
  for number = from, to do
    set_cookie(name_of(name, number), "", self.attributes .. ENDED)
  end
end

local function cookie(name) return ngx.var["cookie_" .. name] end

local function key_of(self, id) return b64(self.conf.hash_storage_key and native.digest("sha256", id) or id) end

local function context_of(meta)
  return octets_of(KIND, 1) .. octets_of(meta.flags, 2) .. meta.id .. octets_of(meta.created, 5)
    .. octets_of(meta.rolled, 4) .. octets_of(meta.size, 3)
end

local function header_of(self, meta)
  local covered = context_of(meta) .. meta.tag .. octets_of(meta.touched, 3)
  return b64(covered .. mac_of(self.secrets[1], meta.id, covered .. bound.covered(meta.flags)))
end

local function ages_of(meta)
  local age = max(0, ngx.time() - meta.created)
  local rolled = max(0, age - meta.rolled)
  return age, rolled, max(0, rolled - meta.touched)
end

-- What a cookie says before its content, and the secret that it was made with.
local function read_header(self, value)
  local octets = #value >= HEADER and unb64(value:sub(1, HEADER))
  if not octets or #octets ~= 82 or octets:byte(1) ~= KIND then
    return nil, "invalid session header"
  end
  local function part(from, length) return octets:sub(from, from + length - 1) end
  local meta = {
    flags = number_of(part(2, 2)), id = part(4, ID), created = number_of(part(36, 5)), rolled = number_of(part(41, 4)),
    size = number_of(part(45, 3)), tag = part(48, TAG), touched = number_of(part(64, 3)),
  }
  local covered = part(1, 66) .. bound.covered(meta.flags)
  for _, ikm in ipairs(self.secrets) do
    if mac_of(ikm, meta.id, covered) == part(67, MAC) then
      return meta, nil, ikm
    end
  end
  return nil, "invalid session message authentication code"
end

local function is_over(self, meta, lasting)
  local conf, age, rolled, idle = self.conf, ages_of(meta)
  local absolute = lasting and conf.remember_absolute_timeout or conf.absolute_timeout
  local rolling = lasting and conf.remember_rolling_timeout or conf.rolling_timeout
  if absolute ~= 0 and age > absolute then
    return "session absolute timeout exceeded"
  elseif rolling ~= 0 and rolled > rolling then
    return "session rolling timeout exceeded"
  elseif not lasting and conf.idling_timeout ~= 0 and idle > conf.idling_timeout then
    return "session idling timeout exceeded"
  end
end

-- The content of the cookies of that name, with what their header says.
local function read(self, name, lasting)
  local first = cookie(name)
  if not first then
    return nil, "missing session cookie"
  end
  local meta, err, ikm = read_header(self, first)
  if not meta then
    return nil, err
  end
  if (meta.flags % 2 == STORED) ~= (self.storage ~= nil) then
    return nil, "invalid session flags"
  end
  err = is_over(self, meta, lasting)
  if err then
    return nil, err
  end
  local content, info
  if self.storage then
    local stored
    stored, err = self.storage:get(name, key_of(self, meta.id), ngx.time())
    if not stored then
      return nil, err or "session not found"
    end
    local decoded = cjson.decode(stored)
    if type(decoded) ~= "table" then
      return nil, "invalid session data"
    end
    content, info = decoded[1], decoded[2]
  else
    local parts = { first:sub(HEADER + 1) }
    for number = 2, count_of(name, meta.size) or 0 do
      parts[number] = cookie(name_of(name, number)) or ""
    end
    content, meta.chunk = concat(parts), parts[1]
  end
  if type(content) ~= "string" or #content ~= meta.size then
    return nil, "invalid session payload"
  end
  local text = cipher(ikm, meta.id, lasting and self.conf.remember_safety, false,
    { text = unb64(content) or "", aad = context_of(meta), tag = meta.tag })
  if text and floor(meta.flags / DEFLATED) % 2 == 1 then
    text = native.inflate(text, "raw")
  end
  local entries = text and cjson.decode(text)
  if type(entries) ~= "table" then
    return nil, "unable to decrypt session data"
  end
  return meta, nil, entries, type(info) == "table" and info or nil
end

local function metadata_of(self)
  if not self.conf.store_metadata then
    return nil
  end
  local metadata = { audiences = {}, subjects = {} }
  for _, entry in ipairs(self.entries) do
    if entry[3] then
      local subject = self.conf.hash_subject and native.digest("sha256", entry[3]):sub(1, 16) or entry[3]
      metadata.audiences[#metadata.audiences + 1] = b64(entry[2])
      metadata.subjects[#metadata.subjects + 1] = b64(subject)
    end
  end
  return metadata.audiences[1] and metadata or nil
end

-- Writes cookies of that name, and what is stored behind them.
local function write(self, name, former, lasting)
  local conf, now = self.conf, ngx.time()
  local created = former and former.created or now
  local meta = { id = native.random(ID), created = created, rolled = now - created, touched = 0,
    flags = bound.flags(conf.bind) + (self.storage and STORED or 0) }
  local text = cjson.encode(self.entries)
  if #text > conf.compression_threshold and conf.compression_threshold > 0 then
    local deflated = native.deflate(text, "raw")
    if deflated and #deflated < #text then
      text, meta.flags = deflated, meta.flags + DEFLATED
    end
  end
  meta.size = ceil(#text * 4 / 3)
  if meta.size >= 2 ^ 24 then
    return nil, "session data is too large"
  end
  local sealed, tag = cipher(self.secrets[1], meta.id, lasting and conf.remember_safety, true,
    { text = text, aad = context_of(meta) })
  if not sealed then
    return nil, "unable to encrypt session data"
  end
  meta.tag = tag
  local payload, header, attributes = b64(sealed), header_of(self, meta), self.attributes
  local rolling = lasting and conf.remember_rolling_timeout or conf.rolling_timeout
  local age = rolling == 0 and LONGEST or min(rolling, LONGEST)
  if lasting then
    attributes = attributes .. "; Expires=" .. ngx.http_time(now + age) .. "; Max-Age=" .. age
  end
  local shown = self.storage and "" or payload
  local count = count_of(name, #shown)
  if not count then
    return nil, "session data is too large for cookies"
  end
  if self.storage then
    local value = cjson.encode({ payload, self.info_data })
    local ok, err = self.storage:set(name, key_of(self, meta.id), value, age, now, former and key_of(self, former.id),
      conf.stale_ttl, metadata_of(self), lasting)
    if not ok then
      return nil, err or "unable to store session data"
    end
  end
  local at = count == 1 and #shown or LARGEST - HEADER - #name - 1
  meta.chunk = shown:sub(1, at)
  set_cookie(name, header .. meta.chunk, attributes)
  for number = 2, count do
    local length = LARGEST - #name - 2
    set_cookie(name_of(name, number), shown:sub(at + 1, at + length), attributes)
    at = at + length
  end
  local before = former and not self.storage and count_of(name, former.size) or 1
  end_cookies(self, name, count + 1, before)
  return meta
end

-- Tells the client that the session was used, with the same content.
function cookies.touch(self, meta)
  local _, rolled = ages_of(meta)
  meta.touched = min(rolled, 2 ^ 24 - 1)
  set_cookie(self.name, header_of(self, meta) .. (meta.chunk or ""), self.attributes)
end

-- Ends the cookies of that name, and what is stored behind them.
function cookies.destroy(self, name, meta)
  end_cookies(self, name, 1, meta and not self.storage and count_of(name, meta.size) or 1)
  if meta and self.storage then
    return self.storage:delete(name, key_of(self, meta.id), ngx.time(), metadata_of(self))
  end
  return true
end

-- Something else that follows from the secret and the session.
function cookies.derived(self, usage, length)
  return b64(native.hkdf("sha256", self.secrets[1], "", usage .. ":" .. self.meta.id, length, "both"))
end

-- The time for which content is stored at most, of so many seconds; 0 is for ever.
function cookies.life(seconds) return seconds == 0 and LONGEST or min(seconds, LONGEST) end

cookies.read, cookies.write, cookies.ages_of, cookies.key_of, cookies.name_of = read, write, ages_of, key_of, name_of
cookies.secrets_of, cookies.attributes_of = secrets_of, attributes_of
function cookies.prefix_of(conf) return PREFIXES[conf.cookie_prefix] or "" end

return cookies
