"""The HTTP APIs of channels: one declaration a channel, and one client for all of them."""
