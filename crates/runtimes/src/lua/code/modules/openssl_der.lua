-- What resty.openssl writes in ASN.1, and reads of it.
local _, slot = ...
local native = slot.native
local char, floor, concat = string.char, math.floor, table.concat
local der = {}

-- A hash as the gateway calls it: `SHA-256` and `RSA-SHA256` are `sha256`.
function der.name_of_hash(given, usual)
  return ((given or usual):lower():gsub("^rsa%-", ""):gsub("%-", ""))
end

function der.pem(label, octets)
  local lines = native.encode_base64(octets):gsub(("."):rep(64), "%0\n"):gsub("\n$", "")
  return "-----BEGIN " .. label .. "-----\n" .. lines .. "\n-----END " .. label .. "-----\n"
end

function der.element(tag, content)
  local length, octets = #content, ""
  if length < 0x80 then
    return char(tag, length) .. content
  end
  while length > 0 do
    octets, length = char(length % 256) .. octets, floor(length / 256)
  end
  return char(tag, 0x80 + #octets) .. octets .. content
end

-- An identifier of its text (`2.5.4.3`).
function der.oid(text)
  local numbers = {}
  for number in text:gmatch("%d+") do
    numbers[#numbers + 1] = tonumber(number)
  end
  local octets = { char(numbers[1] * 40 + numbers[2]) }
  for i = 3, #numbers do
    local number = numbers[i]
    local part = char(number % 128)
    number = floor(number / 128)
    while number > 0 do
      part, number = char(0x80 + number % 128) .. part, floor(number / 128)
    end
    octets[#octets + 1] = part
  end
  return der.element(0x06, concat(octets))
end

function der.integer(number)
  local octets = ""
  repeat
    octets, number = char(number % 256) .. octets, floor(number / 256)
  until number == 0
  return der.element(0x02, octets:byte(1) >= 0x80 and "\0" .. octets or octets)
end

-- A time, in the form that its year wants.
function der.time(seconds)
  local year = tonumber(os.date("!%Y", seconds))
  if year >= 1950 and year < 2050 then
    return der.element(0x17, os.date("!%y%m%d%H%M%SZ", seconds))
  end
  return der.element(0x18, os.date("!%Y%m%d%H%M%SZ", seconds))
end

-- Where an element's content begins and ends that begins at a place, and its tag.
function der.content_at(octets, at)
  local tag, length = octets:byte(at, at + 1)
  local from = at + 2
  if not length then
    return nil
  elseif length >= 0x80 then
    local count = length - 0x80
    length = 0
    for i = 0, count - 1 do
      length = length * 256 + (octets:byte(from + i) or 0)
    end
    from = from + count
  end
  return from, from + length - 1, tag
end

-- The elements in one, as their contents.
function der.children(octets)
  local from, to = der.content_at(octets, 1)
  local all = {}
  while from and from <= to do
    local first, last = der.content_at(octets, from)
    all[#all + 1], from = octets:sub(first, last), last + 1
  end
  return all
end

-- The bits of the key in a `SubjectPublicKeyInfo`.
function der.key_bits(info) return der.children(info)[2]:sub(2) end

local ALGORITHMS = {
  { "1.2.840.113549.1.1.5", "RSA", "sha1" }, { "1.2.840.113549.1.1.11", "RSA", "sha256" },
  { "1.2.840.113549.1.1.12", "RSA", "sha384" }, { "1.2.840.113549.1.1.13", "RSA", "sha512" },
  { "1.2.840.10045.4.3.2", "EC", "sha256" }, { "1.2.840.10045.4.3.3", "EC", "sha384" },
  { "1.2.840.10045.4.3.4", "EC", "sha512" }, { "1.3.101.112", "Ed25519" },
}

-- The algorithm by which a kind of key signs a hash, as an element.
function der.signature_algorithm(kind, hash)
  kind = kind:sub(1, 2) == "P-" and "EC" or kind
  for _, one in ipairs(ALGORITHMS) do
    if one[2] == kind and one[3] == hash then
      return der.element(0x30, der.oid(one[1]) .. (kind == "RSA" and "\5\0" or ""))
    end
  end
  return nil, "there are no signatures of " .. kind .. " with " .. tostring(hash)
end

-- The hash that an algorithm of that identifier signs.
function der.hash_of(id)
  for _, one in ipairs(ALGORITHMS) do
    if one[1] == id then
      return one[3]
    end
  end
end

return der
