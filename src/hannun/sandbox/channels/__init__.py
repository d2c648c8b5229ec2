"""The APIs of the channels, as an HTTP server that can be told to fail and to lie.

numbers         totals of an event on a channel at a time (numbers)
shape, shapes/  what each API expects and answers, one file a channel (data)
behaviours      what a channel can be told to do wrong, and to which calls it applies
authentication  who may call
budgets         how often
channel         one channel: request in, response out
control         the control address, and `control_client`, which calls it
server          sockets: HTTP, TLS, and everything that is to go wrong there
access, run     one run, and what its home keeps of it
demo            what the demo's channels are told
"""
