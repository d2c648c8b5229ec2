"""Replays: count again what Kafka holds, into the live tables or into a shadow database that can replace them."""
