-- ffi: numbers of 64 bits as LuaJIT has them, and structures and arrays that are tables. No memory but Lua's own can be
-- reached, and there are no libraries in C behind it.
local name, slot = ...
local native, real = slot.native, slot.ffi
local band, rshift = bit.band, bit.rshift
local type, tostring, tonumber, error, pairs, ipairs = type, tostring, tonumber, error, pairs, ipairs
local setmetatable, getmetatable, rawget, rawset = setmetatable, getmetatable, rawget, rawset

-- What Linux calls them (lua_system_constants).
local CONSTANTS = {
  O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0x40, O_EXCL = 0x80, O_TRUNC = 0x200, O_APPEND = 0x400,
  S_IRUSR = 0x100, S_IWUSR = 0x80, S_IXUSR = 0x40, S_IRGRP = 0x20, S_IWGRP = 0x10, S_IXGRP = 8, S_IROTH = 4,
  S_IWOTH = 2, S_IXOTH = 1,
}
if name == "lua_system_constants" then
  local functions = {}
  for constant, value in pairs(CONSTANTS) do
    functions[constant] = function() return value end
  end
  return functions
end

local SCALARS = { "bool", "char", "double", "float", "int", "int16_t", "int32_t", "int64_t", "int8_t", "intptr_t", "long",
  "long int", "long long", "long long int", "ptrdiff_t", "short", "signed char", "size_t", "ssize_t", "uint16_t",
  "uint32_t", "uint64_t", "uint8_t", "uintptr_t", "unsigned", "unsigned char", "unsigned int", "unsigned long",
  "unsigned long int", "unsigned long long", "unsigned long long int", "unsigned short" }
-- Elements of a structure and of an array, at most: they are made at once.
local MOST = 2 ^ 20

-- Types by their names: what a program defines, and what there is. Each has a size.
local types = {}
for _, name in ipairs(SCALARS) do
  types[name] = { scalar = real.typeof(name), size = real.sizeof(name), name = name }
end
types.time_t, types.clockid_t, types.pid_t, types.mode_t = types.long, types.int, types.int, types["unsigned int"]
types.u_char, types.u_int = types["unsigned char"], types["unsigned int"]

local memory = {}
local ctype = {}

local function trimmed(text)
  return (text:gsub("%f[%w_]const%f[^%w_]", " "):gsub("%f[%w_]volatile%f[^%w_]", " "):gsub("%s+", " ")
    :gsub("^ ", ""):gsub(" $", ""):gsub(" ?%* ?", "*"))
end

local function type_of(text, level)
  if type(text) == "table" and getmetatable(text) == ctype then
    return rawget(text, "kind")
  elseif type(text) ~= "string" then
    for _, kind in pairs(types) do
      if kind.scalar == text then
        return kind
      end
    end
    error("bad argument #1 (C type expected, got " .. type(text) .. ")", level + 1)
  end
  local name = trimmed(text)
  local known = types[name]
  if known then
    return known
  end
  local of, count = name:match("^(.-) ?%[ ?([%d%?]*) ?%]$")
  if of then
    local element = type_of(of, level + 1)
    return { element = element, count = tonumber(count), size = element.size * (tonumber(count) or 0), name = name }
  elseif name:sub(-1) == "*" then
    local to = name:sub(1, -2)
    return { to = to ~= "void" and to:sub(-1) ~= "*" and type_of(to, level + 1) or nil, size = 8, name = name }
  end
  error("declaration specifier expected near '" .. name .. "'", level + 1)
end

-- What enumerations name, and how many structures have no name.
local constants, unnamed = {}, 0
local function enumeration(name, body)
  local following = 0
  for entry in body:sub(2, -2):gmatch("[^,]+") do
    local constant, value = entry:match("^%s*([%a_][%w_]*)%s*=?%s*(.-)%s*$")
    if constant then
      local shift = value:match("^1%s*<<%s*(%d+)$")
      following = value == "" and following or tonumber(value) or constants[value] or shift and 2 ^ tonumber(shift)
        or error("an integer is expected near '" .. value .. "'", 3)
      constants[constant] = following
      following = following + 1
    end
  end
  if name ~= "" then
    types["enum " .. name] = types.int
  end
  return name ~= "" and "enum " .. name or "int"
end

-- A statement of a definition.
local function declare(text)
  text = text:gsub("%f[%w_]enum%s*([%a_]?[%w_]*)%s*(%b{})", enumeration)
  local function structure(kind, name, body)
    local fields, size, widest = {}, 0, 1
    for declared in body:gmatch("[^;]+") do
      declared = trimmed(declared)
      local of, field, count = declared:match("^(.-)([%a_][%w_]*) ?(%b[])$")
      if not of then
        of, field, count = declared:match("^(.-)([%a_][%w_]*)$")
        count = ""
      end
      if of then
        local element = type_of(of .. count, 4)
        local aligned = (element.element or element).align or (element.element or element).size
        aligned = aligned > 8 and 8 or aligned < 1 and 1 or aligned
        widest = aligned > widest and aligned or widest
        local at = kind == "union" and 0 or math.ceil(size / aligned) * aligned
        fields[#fields + 1], fields[field] = { field, element, at }, element
        size = kind == "union" and math.max(size, element.size) or at + element.size
      end
    end
    local made = types[kind .. " " .. name] or { name = kind .. " " .. name }
    made.fields, made.align, made.size = fields, widest, math.ceil(size / widest) * widest
    types[kind .. " " .. name] = made
    return made.name
  end
  -- Those within others first.
  local function defined(kind, name, body)
    if name == "" then
      unnamed = unnamed + 1
      name = "unnamed_" .. unnamed
    end
    return structure(kind, name, body:sub(2, -2)) .. " "
  end
  local found
  repeat
    found = 0
    for _, kind in ipairs { "struct", "union" } do
      local changed
      text, changed = text:gsub("%f[%w_](" .. kind .. ")%s*([%a_]?[%w_]*)%s*({[^{}]*})", defined)
      found = found + changed
    end
  until found == 0
  local of, name = text:match("^%s*typedef%s+(.-)([%a_][%w_]*)%s*$")
  if of then
    of = trimmed(of)
    -- A structure that is defined elsewhere, or later.
    if of:find("^struct ") and not of:find("*", 1, true) and not types[of] then
      types[of] = { name = of, size = 0, fields = {}, is_open = true }
    end
    local known, kind = pcall(type_of, of, 1)
    types[name] = types[name] or known and kind or nil
  end
end

-- What a definition in C says of types and constants; of functions nothing is kept.
local function define(text)
  text = text:gsub("/%*.-%*/", " "):gsub("//[^\n]*", " ")
  local from, depth = 1, 0
  for at, sign in text:gmatch("()([{};])") do
    depth = depth + (sign == "{" and 1 or sign == "}" and -1 or 0)
    if sign == ";" and depth == 0 then
      declare(text:sub(from, at - 1))
      from = at + 1
    end
  end
  declare(text:sub(from))
end

local new, octets_of, value_of

local function initial(kind)
  if kind.scalar then
    local zero = real.new(kind.scalar)
    return (kind.size < 8 or kind.name == "double") and tonumber(zero) or zero
  elseif kind.to or kind.name:sub(-1) == "*" then
    return nil
  end
  return new(kind)
end

-- A structure or an array: its parts are made when they are first looked at.
function memory:__index(key)
  local kind = rawget(self, memory).kind
  local of
  if kind.element then
    local count = rawget(self, memory).count
    key = tonumber(key)
    if not key or key < 0 or key >= count then
      error("index out of bounds", 2)
    end
    of = kind.element
    local held = rawget(self, memory)
    if held.text then
      return value_of(held.text, of, held.at + key * of.size)
    end
  elseif kind.methods and kind.methods[key] ~= nil then
    return kind.methods[key]
  else
    of = kind.fields[key]
    if not of and not kind.is_open then
      error("'" .. kind.name .. "' has no member named '" .. tostring(key) .. "'", 2)
    end
  end
  local value = of and initial(of) or not of and 0 or nil
  rawset(self, key, value)
  return value
end

function memory:__newindex(key, value)
  local held = rawget(self, memory)
  local of = held.kind.element or held.kind.fields[key]
  if held.kind.element then
    key = tonumber(key)
    if not key or key < 0 or key >= held.count then
      error("index out of bounds", 2)
    end
  end
  rawset(self, key, of and of.scalar and of.size == 8 and of.name ~= "double"
    and type(value) == "number" and real.new(of.scalar, value) or value)
end

-- A pointer to octets of a text: so many on, or how far two are from each other.
local function moved(value, by)
  local held = rawget(value, memory)
  local text, at = held.text, held.at + (tonumber(by) or error("attempt to perform arithmetic on a pointer", 3))
  if not text or at < 0 or at > #text then
    error("the memory ends before that", 3)
  end
  local count = #text - at
  local kind = { element = held.kind.element, count = count, size = count, name = held.kind.element.name .. "[]" }
  return setmetatable({ [memory] = { kind = kind, count = count, text = text, at = at } }, memory)
end
function memory.__add(a, b)
  if type(a) == "table" then
    return moved(a, b)
  end
  return moved(b, a)
end
function memory.__sub(a, b)
  local of_a, of_b = rawget(a, memory), type(b) == "table" and rawget(b, memory)
  if of_b and of_a.text and of_a.text == of_b.text then
    return of_a.at - of_b.at
  end
  return moved(a, -b)
end
function memory:__len() return rawget(self, memory).count end
function memory:__tostring() return "cdata<" .. rawget(self, memory).kind.name .. ">" end

local function is_memory(value) return type(value) == "table" and rawget(value, memory) ~= nil end

function new(kind, ...)
  if kind.scalar then
    local value = ...
    return real.new(kind.scalar, value or 0)
  end
  local first = ...
  local count, from = kind.count, 1
  if kind.element and not count then
    count, from = tonumber(first), 2
    if not count or count < 0 then
      error("size of C type is unknown or too large", 3)
    end
  end
  if (count or 0) > MOST then
    error("size of C type is unknown or too large", 3)
  end
  local made = { [memory] = { kind = kind, count = count } }
  local metatable = memory
  if kind.metatable then
    metatable = kind.metatable
  end
  local given = { select(from, ...) }
  if #given == 1 and type(given[1]) == "table" and not is_memory(given[1]) then
    given = given[1]
  end
  setmetatable(made, memory)
  if type(given[1]) == "string" and kind.element and kind.element.size == 1 then
    for i = 1, math.min(#given[1], count) do
      rawset(made, i - 1, given[1]:byte(i))
    end
  elseif kind.element then
    for i = 1, math.min(#given, count) do
      made[i - 1] = given[i]
    end
  else
    for i, field in ipairs(kind.fields or {}) do
      local value = given[field[1]]
      if value == nil then
        value = given[i]
      end
      if value ~= nil then
        made[field[1]] = value
      end
    end
  end
  return setmetatable(made, metatable)
end

-- The octets of what is in memory, least significant first, and what such octets mean.
local function octets_of_number(value, kind)
  if kind.name == "double" or kind.name == "float" then
    error("octets of type '" .. kind.name .. "' are not there in this version", 3)
  end
  local octets, size = {}, kind.size
  value = type(value) == "number" and real.cast("int64_t", value) or value or 0
  for i = 1, size do
    octets[i] = string.char(tonumber(band(rshift(value, 8 * (i - 1)), 0xff)))
  end
  return table.concat(octets)
end

function octets_of(value, kind, count)
  if kind.scalar then
    return octets_of_number(value, kind)
  elseif kind.element then
    local parts = {}
    for i = 0, (count or kind.count) - 1 do
      parts[i + 1] = octets_of(value[i], kind.element)
    end
    return table.concat(parts)
  end
  local text = ""
  for _, field in ipairs(kind.fields or {}) do
    text = text .. ("\0"):rep(field[3] - #text) .. octets_of(value[field[1]], field[2])
  end
  return text .. ("\0"):rep(kind.size - #text)
end

function value_of(text, kind, at)
  if kind.scalar then
    local value = real.new("uint64_t")
    for i = kind.size, 1, -1 do
      value = value * 256 + (text:byte(at + i) or 0)
    end
    value = real.cast(kind.scalar, value)
    return (kind.size < 8 or kind.name == "double") and tonumber(value) or value
  end
  local made = new(kind)
  for _, field in ipairs(kind.fields or {}) do
    made[field[1]] = value_of(text, field[2], at + field[3])
  end
  for i = 0, (kind.element and kind.count or 0) - 1 do
    made[i] = value_of(text, kind.element, at + i * kind.element.size)
  end
  return made
end

ctype.__index = function(self, key)
  local methods = rawget(self, "kind").methods
  return methods and methods[key]
end
function ctype:__call(...) return new(rawget(self, "kind"), ...) end
function ctype:__tostring() return "ctype<" .. rawget(self, "kind").name .. ">" end

local function wrapped(kind) return kind.scalar or setmetatable({ kind = kind }, ctype) end

local ffi = { os = "Linux", arch = jit.arch }
local failure = 0

function ffi.cdef(text) define(text) end
function ffi.typeof(given)
  if type(given) == "cdata" then
    return real.typeof(given)
  elseif is_memory(given) then
    return wrapped(rawget(given, memory).kind)
  end
  return wrapped(type_of(given, 2))
end
function ffi.new(given, ...) return new(type_of(given, 2), ...) end
function ffi.sizeof(given, count)
  if type(given) == "cdata" then
    return real.sizeof(given)
  elseif is_memory(given) then
    local held = rawget(given, memory)
    return held.kind.element and held.kind.element.size * held.count or held.kind.size
  end
  local kind = type_of(given, 2)
  return kind.element and not kind.count and kind.element.size * (count or 0) or kind.size
end
function ffi.istype(given, value)
  local kind = type_of(given, 2)
  if kind.scalar then
    return type(value) == "cdata" and real.istype(kind.scalar, value)
  end
  return is_memory(value) and rawget(value, memory).kind == kind
end
function ffi.cast(given, value)
  local kind = type_of(given, 2)
  if kind.scalar then
    if type(value) ~= "number" and type(value) ~= "cdata" and type(value) ~= "boolean" then
      error("cannot convert '" .. type(value) .. "' to '" .. kind.name .. "'", 2)
    end
    return real.cast(kind.scalar, value)
  elseif kind.to and type(value) == "string" then
    if kind.to.fields then
      return value_of(value, kind.to, 0)
    end
    local count = math.floor(#value / math.max(kind.to.size, 1))
    local array = { element = kind.to, count = count, size = #value, name = kind.to.name .. "[" .. count .. "]" }
    if kind.to.size == 1 then
      local held = { kind = array, count = count, text = value, at = 0 }
      return setmetatable({ [memory] = held }, memory)
    end
    return value_of(value, array, 0)
  end
  return value
end
function ffi.string(value, length)
  if type(value) == "string" then
    return length and value:sub(1, length) or value
  elseif not is_memory(value) then
    error("cannot convert '" .. type(value) .. "' to 'const char *'", 2)
  end
  local held = rawget(value, memory)
  local text = held.text and held.text:sub(held.at + 1) or octets_of(value, held.kind, held.count)
  if length and length > #text then
    error("the memory has " .. #text .. " octets", 2)
  end
  return length and text:sub(1, length) or text:match("^[^%z]*")
end
function ffi.copy(to, from, length)
  local text = type(from) == "string" and from .. (length and "" or "\0") or ffi.string(from, length or ffi.sizeof(from))
  local held = is_memory(to) and rawget(to, memory)
  if not held or not held.kind.element or held.kind.element.size ~= 1 then
    error("only arrays of octets can be copied to in this version", 2)
  end
  for i = 1, length or math.min(#text, held.count) do
    to[i - 1] = text:byte(i) or 0
  end
end
function ffi.fill(to, length, octet)
  for i = 0, length - 1 do
    to[i] = octet or 0
  end
end
function ffi.metatype(given, metatable)
  local kind = type_of(given, 2)
  local index = metatable.__index
  local merged = {}
  for key, value in pairs(memory) do
    merged[key] = value
  end
  for key, value in pairs(metatable) do
    merged[key] = value
  end
  merged.__newindex = memory.__newindex
  merged.__index = type(index) == "function" and function(self, key)
    if kind.fields and kind.fields[key] then
      return memory.__index(self, key)
    end
    return index(self, key)
  end or memory.__index
  kind.methods, kind.metatable = type(index) == "table" and index or nil, merged
  return wrapped(kind)
end
function ffi.gc(value) return value end
function ffi.errno(set)
  local before = failure
  failure = set or failure
  return before
end
function ffi.abi(what) return what == "64bit" or what == "le" or what == "fpu" or what == "hardfp" end
function ffi.load(library)
  error(tostring(library) .. ": libraries in C are not there in this version", 2)
end

-- What needs no library of its own.
local C = {}
function C.getpid() return native.pid end
function C.time() return real.new("long", native.now()) end
function C.clock_gettime(clock, to)
  local now = clock == 0 and native.now() or native.uptime()
  to = is_memory(to) and rawget(to, memory).kind.element and to[0] or to
  to.tv_sec, to.tv_nsec = math.floor(now), math.floor(now % 1 * 1e9)
  return 0
end
function C.gettimeofday(to)
  local now = native.now()
  to = is_memory(to) and rawget(to, memory).kind.element and to[0] or to
  to.tv_sec, to.tv_usec = math.floor(now), math.floor(now % 1 * 1e6)
  return 0
end
-- Files that are appended to, as logs are. What is in them is written at once.
local files = {}
function C.open(path, flags)
  flags = tonumber(flags)
  if band(flags, 3) ~= CONSTANTS.O_WRONLY then
    error("files are only written to in this version", 2)
  end
  local file, _, code
  if band(flags, CONSTANTS.O_CREAT) == 0 then
    file, _, code = io.open(ffi.string(path), "rb")
    if not file then
      failure = code
      return -1
    end
    file:close()
  end
  file, _, code = io.open(ffi.string(path), band(flags, CONSTANTS.O_TRUNC) ~= 0 and "wb" or "ab")
  if not file then
    failure = code
    return -1
  end
  file:setvbuf("no")
  local number = 3
  while files[number] do
    number = number + 1
  end
  files[number] = file
  return number
end
function C.write(number, text, length)
  local file = files[tonumber(number)]
  local written, _, code = nil, nil, 9
  if file then
    written, _, code = file:write(ffi.string(text, tonumber(length)))
  end
  failure = written and failure or code
  return written and tonumber(length) or -1
end
function C.close(number)
  local file = files[tonumber(number)]
  files[tonumber(number)] = nil
  return file and file:close() and 0 or -1
end
function C.strerror(code) return "error " .. tostring(code) end
function C.strlen(text) return #ffi.string(text) end
local function parsed(kind)
  return function(text, _, base)
    local value, sign, digits = real.new(kind), 1, ffi.string(text):lower():gsub("^%s*", "")
    base = tonumber(base) or 10
    if digits:find("^[%+%-]") then
      sign, digits = digits:sub(1, 1) == "-" and -1 or 1, digits:sub(2)
    end
    if (base == 16 or base == 0) and digits:find("^0x") then
      base, digits = 16, digits:sub(3)
    end
    base = base == 0 and 10 or base
    local before = real.new("uint64_t")
    for digit in digits:gmatch("%w") do
      local number = tonumber(digit, 36)
      if number >= base then
        break
      end
      local following = before * base + number
      if following / base ~= before then
        failure = 34
        return real.cast(kind, -1)
      end
      before = following
    end
    value = real.cast(kind, before)
    return sign < 0 and -value or value
  end
end
C.strtoull, C.strtoul = parsed("uint64_t"), parsed("uint64_t")
C.strtoll, C.strtol = parsed("int64_t"), parsed("int64_t")
-- What writes to memory that it is given, for the functions of libraries that are here.
function slot.ffi_octets(value) return type(value) == "string" and value or ffi.string(value, ffi.sizeof(value)) end
function slot.ffi_put(to, text)
  local held = rawget(to, memory)
  held.count = math.max(held.count, #text)
  for i = 1, #text do
    rawset(to, i - 1, text:byte(i))
  end
end
ffi.C = setmetatable({}, { __index = function(_, name)
  local found = C[name]
  if found == nil then
    found = constants[name]
  end
  if not found and name:find("ASN1_", 1, true) then
    found = slot.spare("openssl.asn1")[name]
    C[name] = found
  end
  return found or error("missing declaration for symbol '" .. tostring(name) .. "': it is not there in this version", 2)
end })

return ffi
