/**
 * Types of the API's answers, named as in `spec/5-api.md`. This module has no code.
 *
 * A figure is `null` if it cannot be computed or is not measured yet (no base, no denominator). The page shows it as "–".
 *
 * @typedef {number | null | undefined} Figure
 * @typedef {"measured" | "planned" | "estimated" | "stale" | "unknown"} FigureKind
 * @typedef {"measured" | "stale" | "planned" | "failed" | "unknown"} ChannelState
 *
 * @typedef {object} Period
 * @property {string | null} [startDate]
 * @property {string | null} [endDate]
 * @property {string} [tz]
 * @property {string[]} [notKept] the parts whose minutes are not kept, as ISO 8601 intervals
 *
 * @typedef {object} Summary
 * @property {Figure} totalParticipants
 * @property {Figure} unattributedParticipants
 * @property {Figure} totalViews
 * @property {Figure} [totalReach]
 * @property {Figure} totalConversions
 * @property {Figure} [totalClicks]
 * @property {Figure} clickThroughRate
 * @property {Figure} [engagementRate]
 * @property {Figure} [participationRate]
 * @property {Figure} conversionRate
 * @property {{ likes: Figure, comments: Figure, shares: Figure }} [socialInteractions]
 * @property {{ totalParticipants?: Figure, totalViews?: Figure, totalConversions?: Figure, partial?: boolean } | null} [previous] `partial`: only the part that has elapsed of the period itself
 * @property {{ totalParticipants?: Figure, totalViews?: Figure, totalConversions?: Figure } | null} [delta] in percent
 *
 * @typedef {object} Channel
 * @property {string} channelName
 * @property {{ ko: string, en: string }} channelTitle
 * @property {string} channelType
 * @property {ChannelState} state
 * @property {string | null} measuredAt
 * @property {string | null} staleSince
 * @property {string[]} measuredCounts what the channel has reported; every other count is unknown, and 0 here
 * @property {Figure} participants
 * @property {Figure} views
 * @property {Figure} impressions
 * @property {Figure} clicks
 * @property {Figure} conversions
 * @property {Figure} [totalCalls] of a VOICE channel
 * @property {Figure} [completedCalls]
 * @property {Figure} [expectedViews] a plan, never a measurement
 * @property {Figure} clickThroughRate
 * @property {Figure} [participationRate]
 * @property {Figure} conversionRate
 * @property {Figure} distributionCost
 * @property {Figure} costPerParticipant
 * @property {Figure} costPerView
 * @property {Figure} costPerConversion
 *
 * @typedef {object} Roi
 * @property {Figure} currentRoi
 * @property {Figure} targetRoi
 * @property {Figure} [estimatedRoi]
 * @property {{ total: Figure, planned: Figure, channels: Figure }} investment
 * @property {{ total: Figure, recorded: Figure, expected: Figure, assumedShare: Figure }} revenue
 * @property {Figure} costPerParticipant
 * @property {Figure} [costPerView]
 * @property {Figure} [costPerConversion]
 * @property {Figure} breakEvenParticipants
 *
 * @typedef {Record<string, { kind: FigureKind, asOf?: string | null }>} Provenance
 *
 * @typedef {object} Dashboard
 * @property {string} eventId
 * @property {string} eventTitle
 * @property {string} status
 * @property {string | null} [startDate] of the event
 * @property {string | null} [endDate]
 * @property {Period} [period] requested by the caller
 * @property {Summary} summary
 * @property {Channel[]} channelPerformance
 * @property {Roi} roi
 * @property {Provenance} [provenance]
 * @property {string | null} lastUpdatedAt
 *
 * @typedef {object} Advice
 * @property {string} code
 * @property {BothLanguages} text
 * @property {BothLanguages} why
 * @property {{ path: string, value: number | string | null }[]} facts
 *
 * @typedef {object} HeatMap
 * @property {number} weeks
 * @property {string[]} days
 * @property {number[][] | null} participants of each hour of each day; null where they are not kept
 * @property {number | null} total
 *
 * @typedef {object} TimelinePoint
 * @property {string} timestamp the bucket's start, with the zone's offset
 * @property {number | null} participants null where its minutes are not kept
 * @property {number | null} views
 * @property {number | null} conversions
 * @property {number | null} cumulativeParticipants
 * @property {boolean} complete
 *
 * @typedef {object} Timeline
 * @property {string} granularity
 * @property {TimelinePoint[]} dataPoints
 * @property {Period} [period] requested by the caller
 * @property {{ participants?: number, views?: number, conversions?: number }} [totals] over the whole period, also where its minutes are not kept
 * @property {{ direction: "up" | "down" | "flat" | "early" } | null} [trend]
 *
 * A text in both languages. @typedef {{ ko: string, en: string }} BothLanguages
 *
 * A period so far beside the one before up to the same time; `delta` in percent, null without a base.
 * @typedef {{ participants: number, previous: { participants: number }, delta: Figure }} Comparison
 *
 * @typedef {object} Mark what happened at a moment or, with `until`, for a time
 * @property {string} at
 * @property {string | null} until
 * @property {"event-started" | "event-ends" | "status-changed" | "distribution-succeeded" | "distribution-failed" | "channel-outage"} kind
 * @property {string | null} channelName
 * @property {BothLanguages} text
 *
 * @typedef {object} Insights
 * @property {{ day: Comparison | null, week: Comparison | null }} comparisons
 * @property {Provenance} [provenance]
 * @property {{ code: string, text: BothLanguages }} headline
 * @property {Mark[]} marks
 * @property {Advice[]} advice
 * @property {HeatMap} heatMap
 *
 * @typedef {object} EventSummary
 * @property {string} eventId
 * @property {string} eventTitle
 * @property {string} status
 * @property {Figure} totalParticipants
 * @property {string | null} [startDate]
 * @property {string | null} [endDate]
 * @property {Figure} currentRoi
 * @property {Figure} targetRoi
 * @property {Figure} recordedRevenue null if no sale is recorded: `currentRoi` is then that of the expected revenue
 * @property {Figure} [investment]
 * @property {Figure} [participantsToday] in the answer's period `today`
 * @property {Figure} [participantsYesterday] up to the same time of day
 * @property {(number | null)[] | null} [sparkline] participants of each of the last 24 hours, oldest first; null if not kept
 *
 * @typedef {object} MerchantAnalytics
 * @property {string} userId
 * @property {number} totalEvents
 * @property {Summary} summary
 * @property {Roi | null} [roi]
 * @property {Provenance} [provenance]
 * @property {EventSummary[]} events
 * @property {Period} [today] the day of the zone in which the answer was made
 * @property {Period | null} [yesterday] up to the same time of day
 * @property {string | null} nextCursor
 * @property {string | null} [lastUpdatedAt]
 *
 * @typedef {object} MerchantOfList a merchant in the list of all; `events` leaves archived ones out
 * @property {string} userId
 * @property {number} events
 * @property {number} runningEvents
 * @property {number} totalParticipants
 * @property {string} newestEventTitle
 * @property {string} newestEventCreatedAt
 *
 * @typedef {object} EventOfList an event in the list of all merchants' events
 * @property {string} eventId
 * @property {string} eventTitle
 * @property {string} userId
 * @property {string} status
 * @property {string} createdAt
 * @property {string | null} startDate
 * @property {string | null} endDate
 * @property {number} totalParticipants
 *
 * @typedef {object} Session
 * @property {string} userId
 * @property {string[]} roles
 * @property {string} [expiresAt]
 *
 * @typedef {object} ShareLink
 * @property {string} shareId
 * @property {string} label
 * @property {string} createdAt
 * @property {string} createdBy
 * @property {string} expiresAt
 * @property {string | null} revokedAt
 *
 * @typedef {object} CheckFinding
 * @property {string} check
 * @property {"notice" | "warning" | "critical"} severity
 * @property {string} subject
 * @property {string} cause
 * @property {string} remedy
 * @property {string[]} statements
 *
 * @typedef {object} CheckOutcome
 * @property {string} check
 * @property {"ok" | "found" | "unfinished" | "skipped"} state
 * @property {string | null} reason
 *
 * @typedef {object} Checkup
 * @property {string} checkedAt
 * @property {"ok" | "notice" | "warning" | "critical"} severity
 * @property {CheckFinding[]} findings
 * @property {CheckOutcome[]} checks
 *
 * @typedef {object} OperationsOverview
 * @property {string} asOf by PostgreSQL's clock
 * @property {{ messagesPerSecond: Figure, countedPerSecond: Figure, lag: number | null, countedAt: string | null, deadLettersOpen: number, invalidationsPending: number, stoppedPartitions: number }} counting
 * @property {{ afterSeconds: number, share: number }[]} consistency share from 0 to 1
 * @property {{ dueAt: string, beganAt: string, endedAt: string | null, pieces: number, piecesDone: number } | null} round
 * @property {{ channelName: string, channelTitle: { ko: string, en: string }, breaker: "closed" | "half-open" | "open" | null, held: boolean, activeEvents: number, staleEvents: number, oldestMeasuredAt: string | null }[]} channels
 * @property {{ topic: string, partition: number, nextOffset: number | null, notCounted: number | null, movedAt: string | null, stopped: string | null, hint: string | null }[]} positions
 * @property {{ first: string | null, last: string | null, ahead: number, detached: number }} months
 * @property {{ bytes: number, bytesMax: number, keys: number, hitRatio: Figure, recentHitRatio: Figure, evictedKeys: number } | null} redis
 * @property {{ kind: string, endedAt: string, ageSeconds: number }[]} operations
 * @property {Record<string, string>} unreachable why Redis or Kafka was not read
 *
 * @typedef {object} DeadLetter
 * @property {number} number
 * @property {string} createdAt
 * @property {string} kind
 * @property {string} reason
 * @property {string} detail
 * @property {string | null} eventId
 * @property {string | null} topic null for a message over HTTP
 * @property {number | null} partition
 * @property {number | null} offset
 *
 * @typedef {object} DeadLetters
 * @property {number} total of all open ones
 * @property {Record<string, number>} byReason
 * @property {DeadLetter[]} deadLetters
 *
 * @typedef {object} DeadLetterOutcome
 * @property {number} number
 * @property {string} result
 * @property {string | null} why
 */
export {};
