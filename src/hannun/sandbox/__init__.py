"""The rest of the platform, simulated: what stands around Hannun, so that it can be shown and driven alone.

It stands for OTHER services and so imports nothing of hannun but its errors; what it sends is what
the spec of the messages says that others send, odd spellings included.

    catalogue   the cast: merchants, events, channels and their costs (data)
    crowd       when people come: interest after the start, rhythm of the day (numbers)
    wording     how producers write a fact down (messages)
    platform    all three together: everything that happened up to a time, and what happens next
    load        many cheap messages, for load runs
    senders     messages -> Hannun, over HTTP or Kafka
    drive       sends the past, then the present, until told to stop

The channels' own APIs (which can misbehave) get their place here too, as `channels`, in a later issue.
"""
