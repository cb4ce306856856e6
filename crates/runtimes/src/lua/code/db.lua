-- `kong.db`: the records of the node's store, by entity.
local slot = ...
local native, null = slot.native, slot.null
local type, tostring, pairs, ipairs, error, select = type, tostring, pairs, ipairs, error, select
local fmt, concat = string.format, table.concat

-- Fields of a schema by name, as well as in a list of pairs.
local function schema_of(described)
  local fields = {}
  for i, pair in ipairs(described.fields) do
    local name, field = next(pair)
    fields[i], fields[name] = pair, field
    if field.type == "foreign" then
      field.schema = setmetatable({}, { __index = function(_, key)
        local to = slot.entity(field.reference)
        return to and to.schema[key]
      end })
    end
  end
  local definition = { name = described.name, primary_key = described.primary_key, fields = described.fields }
  described.fields = fields
  function described.each_field()
    local i = 0
    return function()
      i = i + 1
      if fields[i] then
        return next(fields[i])
      end
    end
  end
  slot.add_judging(described, definition)
  return described
end

-- A record as plugins get it: without nulls, unless they want them.
local function without_nulls(value)
  if type(value) == "table" then
    for key, inner in pairs(value) do
      if inner == null then
        value[key] = nil
      else
        without_nulls(inner)
      end
    end
  end
  return value
end

-- Lists are marked as what they are: what is in a set can be asked by value, and an empty list is one in JSON, too.
local function mark(value, field)
  if type(value) ~= "table" then
    return
  end
  local elements = field.elements
  if field.type == "record" then
    for _, pair in ipairs(field.fields or {}) do
      local name, inner = next(pair)
      mark(value[name], inner)
    end
    return
  elseif field.type == "set" then
    setmetatable(value, slot.of_sets)
  elseif field.type == "array" then
    setmetatable(value, native.array_mt)
  elseif field.type == "map" then
    elements = field.values
  else
    return
  end
  for _, inner in pairs(elements and value or {}) do
    mark(inner, elements)
  end
end

local function marked(schema, record)
  for name, value in pairs(record) do
    local field = type(value) == "table" and schema.fields[name]
    if field then
      mark(value, field)
    end
  end
  return record
end

-- A record as the store takes it: lists that are empty are marked as such, and how long it lives is one of its fields.
local function outgoing(schema, record, options)
  local out = {}
  if type(options) == "table" then
    out.ttl = options.ttl
  end
  for name, value in pairs(record) do
    local field = schema.fields[name]
    local kind = type(field) == "table" and field.type
    if type(value) == "table" and next(value) == nil and (kind == "array" or kind == "set") then
      value = setmetatable({}, native.array_mt)
    end
    out[name] = value
  end
  return out
end

-- The errors of data access, made when they are first needed.
local function errors_of_data() return require("kong.db.errors").new(kong.configuration.database) end

local function failed(err_t)
  if type(err_t) ~= "table" then
    return nil, tostring(err_t), { code = 8, name = "database error", message = tostring(err_t) }
  end
  err_t.strategy = kong.configuration.database
  local text = fmt("[%s] %s", tostring(err_t.strategy), tostring(err_t.message))
  return nil, text, setmetatable(err_t, { __tostring = function() return text end })
end

local dao, own_workspace = {}, slot.host("ngx.workspace")

local function workspace_of(options)
  local workspace = type(options) == "table" and options.workspace
  return type(workspace) == "string" and workspace or slot.caller_workspace or slot.at.asks and own_workspace() or ""
end

local function ask(self, what, options, ...)
  local refused = slot.refuse_options(self.schema, options, errors_of_data)
  if refused then
    return nil, refused
  end
  return slot.wait("db." .. what, workspace_of(options), self.schema.name, ...)
end

local function wanted(self, options, found)
  local record = type(options) == "table" and options.nulls and found or without_nulls(found)
  for _, one in ipairs(record) do
    marked(self.schema, one)
  end
  return marked(self.schema, record)
end

-- Several records: a list in JSON, too, where there are none.
local function listed(self, options, rows) return setmetatable(wanted(self, options, rows), native.array_mt) end

local function one(self, options, record, err_t)
  if record == nil then
    return failed(err_t)
  end
  if record == null then
    return nil
  end
  if type(options) == "table" and options.show_ws_id and self.schema.workspaceable then
    local workspace = workspace_of(options)
    record.ws_id = workspace ~= "" and workspace or kong.default_workspace
  end
  return wanted(self, options, record)
end

-- The value of the primary key, which comes in a table of its own or in a whole record; one of several fields is a list
-- of their values.
local function id_of(self, key)
  local names = self.schema.primary_key
  if type(key) ~= "table" then
    error("primary_key must be a table", 3)
  elseif #names > 1 then
    local values = setmetatable({}, native.array_mt)
    for i, name in ipairs(names) do
      local value = key[name]
      if type(value) == "table" then
        value = value.id
      end
      values[i] = value == nil and null or value
    end
    return (native.json_encode(values))
  end
  local value = key[names[1]]
  if type(value) ~= "string" then
    error("primary_key must have " .. names[1], 3)
  end
  return value
end

-- What Kong raises of values of a wrong type.
local function is_record(value)
  if type(value) ~= "table" then
    error("entity must be a table", 3)
  end
end
local function are_options(options)
  if options ~= nil and type(options) ~= "table" then
    error("options must be a table when specified", 3)
  end
end

function dao:select(key, options)
  are_options(options)
  return one(self, options, ask(self, "get", options, id_of(self, key)))
end

-- Whether a record has all of the tags, or (`tags_cond = "or"`) one of them.
local function is_tagged(row, tags, any)
  local own = {}
  for _, tag in ipairs(type(row.tags) == "table" and row.tags or {}) do
    own[tag] = true
  end
  for _, tag in ipairs(tags) do
    if (own[tag] or false) == any then
      return any
    end
  end
  return not any
end

function dao:page(size, offset, options)
  local wrong
  size, wrong = slot.page_size(size, offset, options)
  if not size then
    return failed(wrong)
  end
  local tags = type(options) == "table" and options.tags
  local found = {}
  repeat
    -- Beside the rows comes the offset of those that follow; the store gives a thousand at a time.
    local rows, following = ask(self, "page", options, math.min(size - #found, 1000), offset or "")
    if rows == nil then
      return failed(following)
    end
    for _, row in ipairs(rows) do
      if not tags or is_tagged(row, tags, options.tags_cond == "or") then
        found[#found + 1] = row
      end
    end
    offset = following
  until not offset or #found >= size
  return listed(self, options, found), nil, nil, offset
end

local function iterate(next_page)
  local rows, at, offset, page = {}, 0, nil, 0
  return function()
    while at >= #rows do
      if page > 0 and not offset then
        return nil
      end
      local err
      rows, err, offset = next_page(offset)
      at, page = 0, page + 1
      if not rows then
        rows, offset = {}, nil
        return false, err, page
      end
    end
    at = at + 1
    return rows[at], nil, page
  end
end

slot.workspace_of, slot.failed, slot.iterate = workspace_of, failed, iterate

function dao:each(size, options)
  return iterate(function(offset)
    local rows, err, _, following = self:page(size, offset, options)
    return rows, err, following
  end)
end
dao.each_for_export = dao.each

function dao:insert(record, options)
  is_record(record)
  are_options(options)
  return one(self, options, ask(self, "insert", options, outgoing(self.schema, record, options)))
end

function dao:update(key, change, options)
  local id = id_of(self, key)
  is_record(change)
  are_options(options)
  local record, err, err_t = one(self, options, ask(self, "update", options, id, outgoing(self.schema, change, options)))
  if not record and not err then
    local named = {}
    for i, name in ipairs(self.schema.primary_key) do
      local value = type(key) == "table" and key[name] or id
      value = type(value) == "table" and value.id or value
      named[i] = fmt(type(value) == "string" and "%s=%q" or "%s=%s", name, tostring(value))
    end
    local fields = {}
    for _, name in ipairs(self.schema.primary_key) do
      fields[name] = type(key) == "table" and key[name] or id
    end
    return failed({ code = 6, name = "not found", fields = fields,
      message = fmt("could not find the entity with primary key '{%s}'", concat(named, ",")) })
  end
  return record, err, err_t
end

function dao:upsert(key, record, options)
  is_record(record)
  are_options(options)
  return one(self, options, ask(self, "upsert", options, id_of(self, key), outgoing(self.schema, record, options)))
end

function dao:delete(key, options)
  are_options(options)
  local deleted, err_t = ask(self, "delete", options, id_of(self, key))
  if deleted == nil then
    return failed(err_t)
  end
  return true
end

-- Deletes the records of the workspace one by one, so that all who keep something of them are told.
function dao:truncate(options)
  while true do
    local rows, err, err_t = self:page(1000, nil, options)
    if not rows then
      return nil, err, err_t
    elseif #rows == 0 then
      return true
    end
    for _, row in ipairs(rows) do
      local ok, failure, failure_t = self:delete(row, options)
      if not ok then
        return nil, failure, failure_t
      end
    end
  end
end

-- Kong's keys of what is kept of a record: the entity, five values, the workspace.
function dao:cache_key(key, ...)
  local schema = self.schema
  local values, workspace = { "", "", "", "", "" }, nil
  if type(key) == "string" then
    values[1] = key
    for i = 1, 4 do
      local value = select(i, ...)
      values[i + 1] = value ~= nil and value ~= null and tostring(value) or ""
    end
    workspace = select(5, ...)
  elseif type(key) == "table" then
    local function put(names)
      local found = false
      for i, name in ipairs(names or {}) do
        local value = key[name]
        if type(value) == "table" and schema.fields[name].type == "foreign" then
          value = value.id
        end
        if value ~= nil and value ~= null then
          values[i], found = tostring(value), true
        end
      end
      return found
    end
    if not put(schema.cache_key) then
      put(schema.primary_key)
    end
    workspace = key.ws_id
  else
    error("key must be a string or an entity table", 2)
  end
  if schema.workspaceable and (workspace == nil or workspace == null) then
    workspace = workspace_of()
    -- Timers have the keys of the default workspace, so that they find what requests have kept.
    workspace = workspace == "" and kong.default_workspace or workspace
  end
  return concat({ schema.name, concat(values, ":"), workspace ~= null and workspace or "" }, ":")
end

function dao:select_by_cache_key(key, options) return slot.select_by_cache_key(self, key, options) end

-- What is there for each unique field, and for each reference. Functions that a plugin has in the place of others are
-- called by their own names only, as in Kong.
local by_field = {}

-- A reference is found by the id that it holds.
local function value_of(value) return type(value) == "table" and value.id or value end

-- A value of another type is none of the field's, which Kong raises.
local function is_value(self, field, value)
  local kind = self.schema.fields[field].type
  if kind == "string" and type(value) ~= "string" then
    error(field .. " must be a string", 3)
  elseif kind == "foreign" and type(value) ~= "table" then
    error(field .. " must be a table", 3)
  end
end

function by_field.select(field)
  return function(self, value, options)
    is_value(self, field, value)
    are_options(options)
    return one(self, options, ask(self, "find", options, field, value_of(value)))
  end
end

local function id_by(self, field, value, options)
  local record, err, err_t = one(self, options, ask(self, "find", options, field, value_of(value)))
  return record, err, err_t
end

function by_field.update(field)
  return function(self, value, change, options)
    is_value(self, field, value)
    local id, err, err_t = id_by(self, field, value, options)
    if id then
      return dao.update(self, id, change, options)
    elseif err then
      return nil, err, err_t
    end
    local told = type(value) == "table" and fmt("{id=%q}", tostring(value.id)) or fmt("%q", tostring(value))
    return failed({ code = 6, name = "not found", fields = { [field] = value },
      message = fmt("could not find the entity with '{%s=%s}'", field, told) })
  end
end

function by_field.upsert(field)
  return function(self, value, record, options)
    is_value(self, field, value)
    local id, err, err_t = id_by(self, field, value, options)
    if err then
      return nil, err, err_t
    end
    local whole = table.clone(record)
    whole[field] = value
    if id then
      return dao.upsert(self, id, whole, options)
    end
    return dao.insert(self, whole, options)
  end
end

function by_field.delete(field)
  return function(self, value, options)
    is_value(self, field, value)
    local id, err, err_t = id_by(self, field, value, options)
    if id then
      return dao.delete(self, id, options)
    end
    return not err and true or nil, err, err_t
  end
end

local function for_reference(field)
  local function all(self, key, options)
    if type(key) ~= "table" then
      error("foreign_key must be a table", 3)
    end
    local rows, err_t = ask(self, "find_all", options, field, type(key) == "table" and key.id or key)
    if rows == nil then
      return failed(err_t)
    end
    return listed(self, options, rows)
  end
  return all, function(self, key, _, options)
    return iterate(function() return all(self, key, options) end)
  end
end

local function new(name)
  local described = native.describe_entity(name)
  if not described then
    return nil
  end
  local schema = schema_of(described)
  local methods = setmetatable({}, { __index = dao })
  for field_name, field in schema.each_field() do
    if field.unique or field_name == schema.endpoint_key then
      for action, make in pairs(by_field) do
        methods[action .. "_by_" .. field_name] = make(field_name)
      end
    end
    if field.type == "foreign" then
      local all, each = for_reference(field_name)
      methods["page_for_" .. field_name] = function(self, key, size, offset, options)
        local wrong
        size, wrong = slot.page_size(size, offset, options)
        if not size then
          return failed(wrong)
        end
        local rows, err, err_t = all(self, key, options)
        if not rows then
          return nil, err, err_t
        end
        local page, following = slot.page_of(rows, function(row) return id_of(self, row) end, size, offset)
        if not page then
          return failed(errors_of_data():invalid_offset(offset, "bad base64 encoding"))
        end
        return page, nil, nil, following
      end
      methods["each_for_" .. field_name] = each
    end
  end
  slot.add_methods(name, methods)
  if name == "plugins" then
    schema.subschemas, methods.get_handlers = slot.plugin_schemas(), slot.plugin_handlers
  end
  local own = native.dao_module(name)
  local module = own and require(own)
  local object = { schema = schema, db = kong.db, super = methods, errors = errors_of_data() }
  return setmetatable(object, { __index = function(_, key)
    local value = module and module[key]
    if value == nil then
      value = methods[key]
    end
    return value
  end })
end

slot.caller_workspace = false
-- Handlers of bundled plugins, as far as they are in Lua.
slot.of_bundled = setmetatable({}, { __mode = "k" })
local daos = {}

-- The schemas of plugins by their names, read when they are asked for.
function slot.plugin_schemas()
  return setmetatable({}, { __index = function(t, plugin)
    local described = type(plugin) == "string" and plugin ~= "" and native.describe_plugin(plugin)
    t[plugin] = described and require("kong.db.schema").new(described) or nil
    return rawget(t, plugin)
  end })
end

-- The handlers of plugins, those that act first in front. Of those that are not in Lua there is what they are, and
-- nothing that can be called.
function slot.plugin_handlers()
  local list = {}
  for plugin, known in pairs(native.describe_plugin("") or {}) do
    local is_own, handler = pcall(require, "kong.plugins." .. plugin .. ".handler")
    is_own = is_own and type(handler) == "table" and not slot.of_bundled[handler]
    list[#list + 1] = { name = plugin, handler = is_own and handler or known }
  end
  table.sort(list, function(a, b)
    local first, second = a.handler.PRIORITY or 0, b.handler.PRIORITY or 0
    if first == second then
      return a.name > b.name
    end
    return first > second
  end)
  return list
end

-- What asks without a store gets an error.
local function nowhere(method)
  local function why() return nil, "there is no database here", { code = 8, name = "database error" } end
  if method:find("^each") then
    return function() return function() return false, "there is no database here" end end
  end
  for _, verb in ipairs { "select", "page", "insert", "update", "upsert", "delete", "truncate" } do
    if method:find("^" .. verb) then
      return why
    end
  end
end

-- Before there is a store: what code names while it is loaded, and asks when it runs.
local function later(name)
  local function real(key)
    local entity = slot.entity(name)
    return entity and entity[key]
  end
  local schema = setmetatable({ name = name }, { __index = function(_, key)
    local found = native.has_store() and real("schema")
    return found and found[key]
  end })
  return setmetatable({ schema = schema }, { __index = function(_, key)
    if native.has_store() then
      return real(key)
    end
    return type(key) == "string" and nowhere(key) or nil
  end })
end

function slot.entity(name)
  if not native.has_store() then
    return later(name)
  end
  if daos[name] == nil then
    daos[name] = new(name) or false
  end
  return daos[name] or nil
end

kong.db = setmetatable({}, { __index = function(t, name)
  if name == "strategy" then
    return kong.configuration.database
  elseif name == "daos" then
    return t
  elseif name == "errors" then
    return errors_of_data()
  elseif name == "connector" then
    return slot.connector
  elseif name == "tags" then
    return slot.tags
  elseif name == "cluster_mutex" then
    return slot.cluster_mutex
  end
  return slot.entity(name)
end })
kong.default_workspace = "0dc6f45b-8f8d-40d2-a504-473544ee190b"
