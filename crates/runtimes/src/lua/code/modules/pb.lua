-- lua-protobuf's `pb` and `protoc`, and Kong's tools that stand on them.
local name, slot = ...
local native = slot.native
local modules = {}

modules["pb"] = function()
  local options, decode_hooks, encode_hooks = {}, {}, {}
  for _, option in ipairs { "enum_as_value", "int64_as_string", "no_default_values" } do
    options[option] = false
  end
  local turns = {
    enum_as_value = { "enum_as_value", true }, enum_as_name = { "enum_as_value", false },
    int64_as_string = { "int64_as_string", true }, int64_as_hexstring = { "int64_as_string", true },
    int64_as_number = { "int64_as_string", false },
    no_default_values = { "no_default_values", true }, auto_default_values = { "no_default_values", false },
    use_default_values = { "no_default_values", false },
    enable_hooks = { "decode_hooks", decode_hooks }, disable_hooks = { "decode_hooks", nil },
    enable_enchooks = { "encode_hooks", encode_hooks }, disable_enchooks = { "encode_hooks", nil },
  }
  local pb = { type = native.pb_type, enum = native.pb_enum, clear = native.pb_clear, tohex = native.hex,
    fromhex = native.unhex }
  function pb.option(option)
    local turn = turns[option]
    if turn then
      options[turn[1]] = turn[2]
    end
  end
  function pb.load(set) return native.pb_load(set) end
  function pb.loadfile(path)
    local handle, err = io.open(path, "rb")
    if not handle then
      return nil, err
    end
    local set = handle:read("*a")
    handle:close()
    return native.pb_load(set)
  end
  function pb.encode(kind, value) return native.pb_encode(kind, value, options) end
  function pb.decode(kind, octets, into)
    local value, err = native.pb_decode(kind, octets or "", options)
    if not value then
      return nil, err
    elseif into then
      for key, field in pairs(value) do
        into[key] = field
      end
    end
    return into or value
  end
  function pb.types()
    local all, at = native.pb_types(), 0
    return function()
      at = at + 1
      if all[at] then
        return native.pb_type(all[at])
      end
    end
  end
  local function hooks_in(all)
    return function(kind, ...)
      local whole = native.pb_type(kind)
      if not whole then
        error("type not found", 2)
      end
      local before = all[whole:sub(2)]
      if select("#", ...) > 0 then
        all[whole:sub(2)] = (...)
      end
      return before
    end
  end
  pb.hook, pb.encode_hook = hooks_in(decode_hooks), hooks_in(encode_hooks)
  return pb
end

modules["protoc"] = function()
  local protoc = { paths = {}, texts = {} }
  protoc.__index = protoc
  function protoc.new() return setmetatable({ paths = {}, texts = {}, include_imports = false }, protoc) end
  function protoc:addpath(path) self.paths[#self.paths + 1] = path end
  function protoc:compile(text, file)
    file = file or "<input>.proto"
    self.texts[file] = text
    return assert(native.pb_compile(file, self.texts, self.paths))
  end
  -- Kong brings OTLP's files; where they are not installed, they are here.
  local function brought(self, file)
    local texts = file:find("^opentelemetry/proto/") and slot.spare("opentelemetry.proto") or {}
    if not texts[file] then
      return
    end
    for _, path in ipairs(self.paths) do
      local handle = io.open(path .. "/" .. file)
      if handle then
        return handle:close()
      end
    end
    for path, text in pairs(texts) do
      self.texts[path] = self.texts[path] or text
    end
  end
  function protoc:compilefile(file)
    brought(self, file)
    return assert(native.pb_compile(file, self.texts, self.paths))
  end
  function protoc:load(text, file) return native.pb_load(self:compile(text, file)) end
  function protoc:loadfile(file) return native.pb_load(self:compilefile(file)) end
  local function described(self, file)
    for _, path in ipairs { "", unpack(self.paths) } do
      local below = path ~= "" and file:sub(1, #path + 1) == path .. "/" and file:sub(#path + 2)
      local found = native.pb_file(below or file)
      if found then
        return found
      end
    end
    error(file .. ": it has not been compiled", 3)
  end
  function protoc:parse(text, file)
    self:load(text, file)
    return described(self, file or "<input>.proto")
  end
  function protoc:parsefile(file)
    self:loadfile(file)
    return described(self, file)
  end
  return protoc
end

modules["kong.tools.grpc"] = function()
  local grpc = {}
  grpc.__index = grpc
  function grpc.new()
    local compiler = require("protoc").new()
    for _, path in ipairs { "/usr/local/kong/include", "/usr/local/opt/protobuf/include", "/usr/include" } do
      compiler:addpath(path)
    end
    return setmetatable({ protoc_instance = compiler }, grpc)
  end
  function grpc:addpath(path)
    for _, one in ipairs(type(path) == "table" and path or { path }) do
      self.protoc_instance:addpath(one)
    end
  end
  function grpc:get_proto_file(file)
    for _, path in ipairs(self.protoc_instance.paths) do
      local handle = io.open(path .. "/" .. file)
      if handle then
        return handle
      end
    end
  end
  function grpc:each_method(file, f, recurse)
    self.protoc_instance:addpath(file:match("^(.*)/[^/]*$") or ".")
    local parsed = self.protoc_instance:parsefile(file)
    for _, place in ipairs(f and recurse and parsed.public_dependency or {}) do
      self:each_method(parsed.dependency[place + 1], f, true)
    end
    for _, service in ipairs(f and parsed.service or {}) do
      for _, method in ipairs(service.method or {}) do
        f(parsed, service, method)
      end
    end
    return parsed
  end
  -- A message with its length before it, and what came in that form.
  function grpc.frame(kind, message)
    local size = #message
    local octet = function(place) return math.floor(size / 256 ^ place) % 256 end
    return string.char(kind, octet(3), octet(2), octet(1), octet(0)) .. message
  end
  function grpc.unframe(body)
    if not body or #body < 5 then
      return nil, body
    end
    local _, a, b, c, d = body:byte(1, 5)
    local last = 5 + ((a * 256 + b) * 256 + c) * 256 + d
    if last > #body then
      return nil, body
    end
    return body:sub(6, last), body:sub(last + 1)
  end
  return grpc
end

-- Values of any type as google.protobuf.Struct has them.
modules["kong.tools.protobuf"] = function()
  local wrap, unwrap
  local function wrapped(value)
    local kind = type(value)
    if kind == "table" and value[1] ~= nil then
      local values = {}
      for i, item in ipairs(value) do
        values[i] = wrapped(item)
      end
      return { list_value = { values = values } }
    elseif kind == "table" then
      return { struct_value = wrap(value) }
    elseif kind == "boolean" then
      return { bool_value = value }
    elseif kind == "nil" then
      return { null_value = 1 }
    end
    return { [kind .. "_value"] = value }
  end
  function wrap(fields)
    local out = {}
    for key, value in pairs(fields) do
      out[key] = wrapped(value)
    end
    return { fields = out }
  end
  local function unwrapped(value)
    if type(value) ~= "table" then
      return value
    elseif value.list_value then
      local out = {}
      for i, item in ipairs(value.list_value.values or {}) do
        out[i] = unwrapped(item)
      end
      return out
    elseif value.struct_value then
      return unwrap(value.struct_value)
    end
    return select(2, next(value))
  end
  function unwrap(struct)
    local out = {}
    for key, value in pairs(struct.fields or {}) do
      out[key] = unwrapped(value)
    end
    return out
  end
  return { pbwrap_struct = wrap, pbunwrap_struct = unwrap }
end

return modules[name]()
