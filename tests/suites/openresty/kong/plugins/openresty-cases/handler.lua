local run = require "run"

return { PRIORITY = 1, VERSION = "1.0.0", access = function()
  return kong.response.exit(200, run(tonumber(kong.request.get_query_arg("port"))))
end }
