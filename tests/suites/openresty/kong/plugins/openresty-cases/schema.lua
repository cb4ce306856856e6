return { name = "openresty-cases", fields = { { config = { type = "record", fields = {} } } } }
