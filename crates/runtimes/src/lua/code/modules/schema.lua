-- kong.db.schema and kong.db.errors: schemas that code makes itself, and the errors of data access.
local name, slot = ...
local native, null = slot.native, slot.null
local type, tostring, pairs, ipairs, error, setmetatable, next = type, tostring, pairs, ipairs, error, setmetatable, next
local fmt, concat = string.format, table.concat
local modules = {}

local function names_in_order(fields)
  local names = {}
  for key in pairs(fields) do
    names[#names + 1] = key
  end
  table.sort(names)
  return names
end

-- What errors of fields say, in one line: `a: must be b; c.d: unknown field`.
local function told(errors, into, prefix)
  for _, message in ipairs(type(errors["@entity"]) == "table" and errors["@entity"] or {}) do
    into[#into + 1] = message
  end
  for _, key in ipairs(names_in_order(errors)) do
    local message = errors[key]
    if key == "@entity" then
      message = nil
    elseif type(message) == "table" then
      told(message, into, prefix .. tostring(key) .. ".")
    else
      into[#into + 1] = prefix .. tostring(key) .. ": " .. tostring(message)
    end
  end
  return into
end

modules["kong.db.errors"] = function()
  local NAMES = { "invalid primary key", "schema violation", "primary key violation", "foreign key violation",
    "unique constraint violation", "not found", "invalid offset", "database error", "invalid size",
    "invalid unique %s", "invalid options", "operation unsupported", "foreign keys unresolved",
    "invalid declarative configuration", "transformation error", "invalid foreign key", "invalid workspace",
    "invalid global query", "referenced by others", "invalid search query", "invalid sync deltas" }
  local CODES = {}
  for code, key in ipairs { "INVALID_PRIMARY_KEY", "SCHEMA_VIOLATION", "PRIMARY_KEY_VIOLATION", "FOREIGN_KEY_VIOLATION",
      "UNIQUE_VIOLATION", "NOT_FOUND", "INVALID_OFFSET", "DATABASE_ERROR", "INVALID_SIZE", "INVALID_UNIQUE",
      "INVALID_OPTIONS", "OPERATION_UNSUPPORTED", "FOREIGN_KEYS_UNRESOLVED", "DECLARATIVE_CONFIG",
      "TRANSFORMATION_ERROR", "INVALID_FOREIGN_KEY", "INVALID_WORKSPACE", "INVALID_UNIQUE_GLOBAL",
      "REFERENCED_BY_OTHERS", "INVALID_SEARCH_QUERY", "SYNC_DELTAS" } do
    CODES[key] = code
  end
  local made = {
    __tostring = function(err)
      local message = err.message ~= nil and err.message ~= null and err.message or err.name
      return err.strategy and fmt("[%s] %s", err.strategy, message) or message
    end,
    __concat = function(a, b) return tostring(a) .. tostring(b) end,
  }
  local errors = { codes = CODES, names = NAMES }
  errors.__index = function(_, key) return errors[key] or CODES[key] end
  function errors.new(strategy) return setmetatable({ strategy = strategy }, errors) end

  local function new(self, code, message, fields, own_name)
    local err = { code = code, name = own_name or NAMES[code], message = message or null, strategy = self.strategy }
    err[code == CODES.INVALID_OPTIONS and "options" or "fields"] = fields and kong.table.merge(fields)
    return setmetatable(err, made)
  end
  -- A key as it is told: `{id="x"}`.
  local function shown(key)
    local parts = {}
    for _, field in ipairs(names_in_order(key)) do
      local value = key[field]
      value = value == null and "null" or type(value) == "table" and shown(value)
        or type(value) == "string" and fmt("%q", value) or tostring(value)
      parts[#parts + 1] = field .. "=" .. value
    end
    return "{" .. concat(parts, ",") .. "}"
  end
  -- What is told of a table: a key, or errors of several fields.
  local function about(code, what, message)
    return function(self, given)
      if type(given) ~= "table" then
        error(what .. " must be a table", 2)
      end
      return new(self, code, message(given), given)
    end
  end
  local function of_key(code, what, format)
    return about(code, what, function(key) return fmt(format, shown(key)) end)
  end
  local function of_several(code, what, one, several)
    return about(code, what, function(fields)
      local all = told(fields, {}, "")
      return #all == 1 and fmt(one .. " (%s)", all[1]) or fmt("%d " .. several .. " (%s)", #all, concat(all, "; "))
    end)
  end
  errors.invalid_primary_key = of_key(1, "primary_key", "invalid primary key: '%s'")
  errors.schema_violation = of_several(2, "errors", "schema violation", "schema violations")
  errors.primary_key_violation = of_key(3, "primary_key", "primary key violation on key '%s'")
  errors.unique_violation = of_key(5, "unique_key", "UNIQUE violation detected on '%s'")
  errors.not_found = of_key(6, "primary_key", "could not find the entity with primary key '%s'")
  errors.not_found_by_field = of_key(6, "filter", "could not find the entity with '%s'")
  errors.invalid_options = of_several(11, "errors", "invalid option", "option violations")
  errors.foreign_keys_unresolved = of_several(13, "errors", "foreign key unresolved", "foreign keys unresolved")
  errors.declarative_config = of_key(14, "err_t", "declarative config is invalid: %s")
  errors.invalid_foreign_key = of_key(16, "foreign_key", "invalid foreign key: '%s'")
  function errors:foreign_key_violation_invalid_reference(key, field, parent)
    local message = fmt("the foreign key '%s' does not reference an existing '%s' entity.", shown(key), parent)
    return new(self, 4, message, { [field] = key })
  end
  function errors:foreign_key_violation_restricted(parent, child)
    local message = fmt("an existing '%s' entity references this '%s' entity", child, parent)
    return new(self, 4, message, { ["@referenced_by"] = child })
  end
  function errors:invalid_offset(offset, why) return new(self, 7, fmt("'%s' is not a valid offset: %s", offset, why)) end
  function errors:invalid_unique(field, why) return new(self, 10, why, nil, fmt(NAMES[10], field)) end
  function errors:invalid_workspace(id) return new(self, 17, fmt("invalid workspace '%s'", id)) end
  function errors:invalid_unique_global(field)
    return new(self, 18, fmt("unique key %s is invalid for global query", field))
  end
  for method, code in pairs { database_error = 8, invalid_size = 9, operation_unsupported = 12,
      transformation_error = 15, referenced_by_others = 19, invalid_search_query = 20 } do
    errors[method] = function(self, why) return new(self, code, why or NAMES[code]) end
  end
  return errors
end

-- A definition as data: what is judged by functions of its own is judged here.
local function as_data(definition)
  local data = {}
  for key, value in pairs(definition) do
    if type(value) == "table" then
      local inner = as_data(value)
      data[key] = (key == "fields" or key == "default") and next(inner) == nil and setmetatable({}, native.array_mt)
        or inner
    elseif type(value) ~= "function" then
      data[key] = value
    end
  end
  return data
end

local schema = {}
schema.__index = schema

-- Fields by name, as well as in a list of pairs.
local function by_name(fields)
  local all = {}
  for i, pair in ipairs(fields or {}) do
    local key, field = next(pair)
    all[i], all[key] = pair, field
  end
  return all
end

function schema:each_field()
  local i = 0
  return function()
    i = i + 1
    if self.fields[i] then
      return next(self.fields[i])
    end
  end
end

local function completed(fields, given)
  local record = {}
  for key, value in pairs(given or {}) do
    record[key] = value
  end
  for _, pair in ipairs(fields or {}) do
    local key, field = next(pair)
    local value = record[key]
    if value == nil and field.default ~= nil then
      record[key] = kong.table.merge({ value = field.default }).value
    elseif value == nil and field.auto and field.uuid then
      record[key] = native.uuid()
    elseif value == nil and field.auto and field.timestamp then
      record[key] = field.type == "integer" and math.floor(native.now()) or native.now()
    end
    if field.type == "record" and type(record[key]) == "table" then
      record[key] = completed(field.fields, record[key])
    elseif field.type == "record" and value == nil and field.required ~= false then
      record[key] = completed(field.fields)
    end
  end
  return record
end

-- The record with its defaults and automatic values.
function schema:process_auto_fields(given) return completed(self.definition.fields, given) end

local function judged(fields, record, errors)
  for _, pair in ipairs(fields or {}) do
    local key, field = next(pair)
    local value = record[key]
    if value ~= nil and value ~= null and type(field.custom_validator) == "function" and not errors[key] then
      local ok, why = field.custom_validator(value)
      errors[key] = not ok and (why or "invalid value") or nil
    elseif field.type == "record" and type(value) == "table" then
      local inner = judged(field.fields, value, {})
      errors[key] = errors[key] or next(inner) and inner or nil
    end
  end
  return errors
end

function schema:validate(record)
  if type(record) ~= "table" then
    return nil, { ["@entity"] = { "expected a record" } }
  end
  self.data = self.data or native.json_encode(as_data(self.definition))
  local errors = judged(self.definition.fields, record, native.judge(self.data, record) or {})
  for _, check in ipairs(self.definition.entity_checks or {}) do
    local custom = check.custom_entity_check
    if custom and next(errors) == nil then
      local ok, why = custom.fn(record)
      errors["@entity"] = not ok and { why or "entity check failed" } or nil
    end
  end
  if next(errors) then
    return nil, errors
  end
  return true
end
schema.validate_insert, schema.validate_upsert = schema.validate, schema.validate
-- The same for the value of one field.
function schema.validate_field(_, field, value)
  local alone = setmetatable({ definition = { fields = { { value = field } } } }, schema)
  local ok, errors = alone:validate { value = value }
  return ok, errors and errors.value
end
-- What is stored is as it was given here.
function schema.transform(_, record) return record end
-- What is not changed need not be there.
function schema:validate_update(record)
  local _, errors = self:validate(record)
  for key in pairs(errors or {}) do
    if key ~= "@entity" and record[key] == nil then
      errors[key] = nil
    end
  end
  if errors and next(errors) then
    return nil, errors
  end
  return true
end
function schema:errors_to_string(errors)
  return type(errors) == "table" and concat(told(errors, {}, ""), "; ") or tostring(errors)
end
function schema:extract_pk_values(record)
  local key = {}
  for _, field in ipairs(self.primary_key or {}) do
    key[field] = record[field]
  end
  return key
end

modules["kong.db.schema"] = function()
  -- A field with other attributes laid over it.
  local function define(field)
    return setmetatable(field, { __call = function(self, over)
      local laid = {}
      for key, value in pairs(self) do
        laid[key] = value
      end
      for key, value in pairs(over or {}) do
        laid[key] = value
      end
      return laid
    end })
  end
  local function is_regex(value)
    local _, err = ngx.re.match("", value)
    return not err, err and "not a valid regex: " .. value or nil
  end
  local function new(definition)
    if type(definition) ~= "table" then
      return nil, "a schema definition must be a table"
    elseif type(definition.fields) ~= "table" then
      return nil, "no fields in schema definition"
    end
    local made = { definition = definition, name = definition.name, primary_key = definition.primary_key,
      endpoint_key = definition.endpoint_key, cache_key = definition.cache_key, fields = by_name(definition.fields) }
    return setmetatable(made, schema)
  end
  return { define = define, new = new, validators = { is_regex = is_regex } }
end
modules["kong.db.schema.entity"] = function() return { new = modules["kong.db.schema"]().new } end

return modules[name]()
