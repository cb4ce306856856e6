return { name = "empty", fields = { { config = { type = "record", fields = {} } } } }
