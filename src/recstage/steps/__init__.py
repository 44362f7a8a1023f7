"""Steps: what the entry points do, each `run(settings) -> result`; notebooks call them as well."""
