"""The months of the timeline: created ahead, detached, archived, dropped, and attached again.

archives  archives the table of a detached month, and drops it once the archive is proven
months    applies the plan of months, and each step by itself
"""
