return { name = "one-header", fields = { { config = { type = "record", fields = {} } } } }
