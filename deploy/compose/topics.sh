#!/bin/sh
# Creates the topics that are missing, one for each kind of message.
set -eu
for topic in event-created participant-registered distribution-completed event-status-changed sales-recorded; do
    /opt/kafka/bin/kafka-topics.sh --bootstrap-server kafka:9092 --create --if-not-exists --topic "$topic" --partitions 4
done
