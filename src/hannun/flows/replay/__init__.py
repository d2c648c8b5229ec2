"""Replays: count again what Kafka holds, into the live tables or into a shadow database that can replace them.

recount   reads ranges of the logs and counts them
live      ... into the live tables
shadow    ... into the shadow database
swap      compares the shadow with the live database, and swaps the two
"""
