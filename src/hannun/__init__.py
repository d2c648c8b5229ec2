"""Hannun (한눈): how a promotional event is doing, at a glance, in numbers that can be proven."""
