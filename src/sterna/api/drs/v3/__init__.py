"""DRS v3: many tasks in a call, each with its own outcome in a successful answer."""
