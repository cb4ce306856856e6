-- `kong.db.connector`: the database itself, which Postgres is. What is asked in SQL runs on a connection of the store,
-- while the worker goes on with others, and ends as Kong's driver would have it end.
local slot = ...
local type, error, tostring, tonumber, pairs, ipairs = type, error, tostring, tonumber, pairs, ipairs
local null = slot.null

local connector = {}

local function is_true() return true end
for _, name in pairs { "close", "setkeepalive", "init", "init_worker", "is_ready" } do
  connector[name] = is_true
end

-- Whether the database is a server: what SQLite is taken for by plugins is none.
local function is_server()
  return slot.migrating or kong.configuration.database == "postgres" and not kong.configuration.bascule_database
end

local function check_operation(operation)
  if operation ~= nil and operation ~= "read" and operation ~= "write" then
    error("operation must be 'read' or 'write', was: " .. tostring(operation), 3)
  end
end

-- Octets are written in hexadecimal digits.
local function octets_of(text)
  if type(text) ~= "string" or text:sub(1, 2) ~= "\\x" then
    return text
  end
  return (text:sub(3):gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- What a statement has come to: its rows, how many it has changed, or that it was done.
local function outcome_of(described)
  if described == true or not described.rows then
    return described
  end
  local rows = described.rows
  for _, name in ipairs(described.octets) do
    for _, row in ipairs(rows) do
      row[name] = octets_of(row[name])
    end
  end
  local result = {}
  for i, row in ipairs(rows) do
    result[i] = row
  end
  if described.affected_rows ~= null then
    result.affected_rows = described.affected_rows
  end
  return result
end

function connector.query(_, sql, operation)
  check_operation(operation)
  local outcomes, err
  if slot.migrating then
    -- Migrations have the connection to themselves.
    outcomes, err = slot.migrating(sql)
  elseif kong.configuration.database == "off" then
    return nil, "cannot perform queries without a database"
  else
    outcomes, err = slot.wait("db.query", sql)
  end
  if not outcomes then
    return nil, err
  end
  local results = {}
  for i, described in ipairs(outcomes) do
    results[i] = outcome_of(described)
  end
  return #results > 1 and results or results[1] or true, nil, nil, #results
end

function connector:iterate(sql)
  local rows, err = self:query(sql, "read")
  local i = 0
  return function()
    i = i + 1
    if not rows then
      if i == 1 then
        return false, err
      end
    elseif rows == true then
      return i == 1 or nil
    else
      return rows[i]
    end
  end
end

-- Connections are the store's own: a transaction is one query.
function connector:connect(operation)
  check_operation(operation)
  return self
end
connector.connect_migrations = connector.connect

function connector.infos()
  local strategy = kong.configuration.database
  local is_postgres = strategy == "postgres"
  return { strategy = is_postgres and "PostgreSQL" or strategy,
    db_name = strategy == "off" and "in memory" or kong.configuration.pg_database,
    db_schema = is_postgres and kong.configuration.pg_schema or nil, db_readonly = false,
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
  elseif value == null or value == nil then
    return "NULL"
  elseif kind ~= "string" then
    error("don't know how to escape value: " .. tostring(value), 2)
  end
  return "'" .. value:gsub("'", "''") .. "'"
end

function connector.escape_identifier(_, name) return '"' .. tostring(name):gsub('"', '""') .. '"' end

-- Kong's locks, by its table.
function connector:insert_lock(key, ttl, owner)
  if not is_server() then
    return true
  end
  local key_literal = self:escape_literal(key)
  local res, err = self:query(("BEGIN; DELETE FROM locks WHERE ttl < CURRENT_TIMESTAMP; " ..
    "INSERT INTO locks (key, owner, ttl) VALUES (%s, %s, CURRENT_TIMESTAMP + %f * INTERVAL '1 second') " ..
    "ON CONFLICT DO NOTHING; COMMIT"):format(key_literal, self:escape_literal(owner), ttl))
  if not res then
    return nil, err
  end
  return res[3].affected_rows == 1
end

function connector:read_lock(key)
  if not is_server() then
    return false
  end
  local res, err = self:query("SELECT 1 AS held FROM locks WHERE key = " .. self:escape_literal(key) ..
    " AND ttl > CURRENT_TIMESTAMP")
  if not res then
    return nil, err
  end
  return res[1] ~= nil
end

function connector:remove_lock(key, owner)
  if not is_server() then
    return true
  end
  local res, err = self:query(("DELETE FROM locks WHERE key = %s AND owner = %s"):format(self:escape_literal(key),
    self:escape_literal(owner)))
  return res and true, err
end

slot.connector = setmetatable({}, { __index = function(self, name)
  local configuration = kong.configuration
  if name == "database" then
    return configuration.database == "postgres" and configuration.pg_database or configuration.database
  elseif name == "config" then
    return { host = configuration.pg_host, port = configuration.pg_port, user = configuration.pg_user,
      database = configuration.pg_database, schema = configuration.pg_schema, timeout = configuration.pg_timeout }
  elseif name == "strategy" then
    return slot.migrating and "postgres" or configuration.database
  end
  return connector[name]
end })

-- Calls a function that runs on one node at a time; false where another one has done that meanwhile.
function slot.cluster_mutex(db, key, options, f)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  elseif options ~= nil and type(options) ~= "table" then
    error("opts must be a table", 2)
  end
  options = options or {}
  local owner, ttl = options.owner or kong.node.get_id(), options.ttl or 60
  local held
  return require("kong.concurrency").with_worker_mutex({ name = "cluster_mutex:" .. key, timeout = ttl }, function()
    local taken, err = db.connector:insert_lock(key, ttl, owner)
    if err then
      return nil, "failed to insert cluster lock: " .. err
    elseif not taken then
      local waited = 0
      if options.no_wait then
        return false
      end
      while waited < ttl do
        ngx.sleep(0.1)
        waited = waited + 0.1
        held, err = db.connector:read_lock(key)
        if err then
          return nil, "failed to read cluster lock: " .. err
        elseif not held then
          return false
        end
      end
      return nil, "timeout"
    end
    local ok, why = pcall(f)
    if not ok then
      db.connector:remove_lock(key, owner)
      return nil, "cluster_mutex callback threw an error: " .. tostring(why)
    end
    if not options.no_cleanup then
      db.connector:remove_lock(key, owner)
    end
    return true
  end)
end
