-- Vaults in Lua (`kong/vaults/NAME`), as they are asked on the thread that is theirs.
local known = {}

local function vault_of(name)
  local vault = known[name]
  if not vault then
    vault = require("kong.vaults." .. name)
    if type(vault.init) == "function" then
      vault.init()
    end
    known[name] = vault
  end
  return vault
end

-- What has come of it is put into `told`, since coroutines return nothing.
return function(name, config, resource, version, told)
  told.value, told.why, told.ttl = vault_of(name).get(config, resource, version)
end
