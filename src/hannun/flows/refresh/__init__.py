"""The periodic refresh: rounds, each done once by all schedulers together."""
