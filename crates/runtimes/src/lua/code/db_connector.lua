-- `kong.db.connector`: the database itself, of which code learns what it is, and which it asks nothing: what is written
-- beside the entities would be checked by nobody, and no node would be told of it.
local slot = ...
local type, error, tostring = type, error, tostring

local connector = {}

local function is_true() return true end
for _, name in pairs { "connect", "close", "setkeepalive", "init", "init_worker", "is_ready" } do
  connector[name] = is_true
end

function connector.query()
  if kong.configuration.database == "off" then
    return nil, "cannot perform queries without a database"
  end
  return nil, "cannot perform queries: plugins ask for records by entity (kong.db)"
end
connector.iterate = connector.query

function connector.infos()
  local strategy = kong.configuration.database
  return { strategy = strategy, db_name = strategy == "off" and "in memory" or kong.configuration.pg_database,
    db_desc = strategy == "off" and "cache" or "database", db_ver = kong.version }
end

function connector.get_stored_connection() return nil end

-- Texts as literals of SQL.
function connector.escape_literal(_, value)
  local kind = type(value)
  if kind == "number" then
    return tostring(value)
  elseif kind == "boolean" then
    return value and "TRUE" or "FALSE"
  elseif value == slot.null or value == nil then
    return "NULL"
  elseif kind ~= "string" then
    error("don't know how to escape value: " .. tostring(value), 2)
  end
  return "'" .. value:gsub("'", "''") .. "'"
end

function connector.escape_identifier(_, name) return '"' .. tostring(name):gsub('"', '""') .. '"' end

slot.connector = setmetatable({}, { __index = function(_, name)
  if name == "database" then
    return kong.configuration.database
  end
  return connector[name]
end })
