"""A simulation of the platform around Hannun, so that Hannun can be shown and tested without the other services.

It stands for OTHER services, so it imports nothing of hannun but its errors. Its messages are those that the message
spec says other services send, including unusual spellings.

    catalogue       merchants, events, channels and their costs (data)
    traffic         how many visitors come, and when: decay after the start, time of day (numbers)
    message_format  facts as producers write them (messages)
    platform        combines these three: all messages up to a time, and between two times
    load_messages   many cheap messages, for load runs
    senders         send messages to Hannun, over HTTP or Kafka
    send_loop       sends the history, then live messages, until stopped
    simulation      one run of all of this; saves how far it has sent
    channels/       the APIs of the channels, as an HTTP server that can be told to fail and to lie
"""
