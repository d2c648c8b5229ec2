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
 * @property {Figure} clickThroughRate
 * @property {Figure} conversionRate
 * @property {{ totalParticipants?: Figure, partial?: boolean } | null} [previous] `partial`: only the part that has elapsed of the period itself
 * @property {{ totalParticipants?: Figure } | null} [delta] in percent
 *
 * @typedef {object} Channel
 * @property {string} channelName
 * @property {string} channelType
 * @property {ChannelState} state
 * @property {string | null} measuredAt
 * @property {string | null} staleSince
 * @property {string[]} measuredCounts what the channel has reported; every other count is unknown, and 0 here
 * @property {Figure} participants
 * @property {Figure} views
 * @property {Figure} [expectedViews] a plan, never a measurement
 * @property {Figure} clickThroughRate
 * @property {Figure} conversionRate
 * @property {Figure} distributionCost
 * @property {Figure} costPerParticipant
 * @property {Figure} costPerView
 * @property {Figure} costPerConversion
 *
 * @typedef {object} Roi
 * @property {Figure} currentRoi
 * @property {Figure} targetRoi
 * @property {{ total: Figure, planned: Figure, channels: Figure }} investment
 * @property {{ total: Figure, recorded: Figure, expected: Figure, assumedShare: Figure }} revenue
 * @property {Figure} costPerParticipant
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
 * @typedef {object} TimelinePoint
 * @property {string} timestamp the bucket's start, with the zone's offset
 * @property {number | null} participants null where its minutes are not kept
 * @property {number | null} cumulativeParticipants
 * @property {boolean} complete
 *
 * @typedef {object} Timeline
 * @property {string} granularity
 * @property {TimelinePoint[]} dataPoints
 * @property {Period} [period] requested by the caller
 * @property {{ participants?: number }} [totals] over the whole period, also where its minutes are not kept
 * @property {{ direction: "up" | "down" | "flat" | "early" } | null} [trend]
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
 * @property {(number | null)[] | null} [sparkline] participants of each of the last 24 hours, oldest first; null if not kept
 *
 * @typedef {object} MerchantAnalytics
 * @property {string} userId
 * @property {number} totalEvents
 * @property {Summary} summary
 * @property {Roi | null} [roi]
 * @property {Provenance} [provenance]
 * @property {EventSummary[]} events
 * @property {string | null} nextCursor
 * @property {string | null} [lastUpdatedAt]
 *
 * @typedef {object} Session
 * @property {string} userId
 * @property {string[]} roles
 * @property {string} [expiresAt]
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
 */
export {};
