"""Settings, read once, in main: command line over STERNA_… environment over TOML file over defaults."""
