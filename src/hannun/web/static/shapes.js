/**
 * The shapes of the API's answers, as `spec/5-api.md` names them. Only types: nothing here runs.
 *
 * A figure is `null` when there is nothing to say (no base, no denominator, not measured yet). It is then shown as "–".
 *
 * @typedef {number | null | undefined} Figure
 * @typedef {"measured" | "planned" | "estimated" | "stale" | "unknown"} Kind
 * @typedef {"measured" | "stale" | "planned" | "failed" | "unknown"} ChannelState
 *
 * @typedef {object} Period
 * @property {string | null} [startDate]
 * @property {string | null} [endDate]
 * @property {string} [tz]
 *
 * @typedef {object} Summary
 * @property {Figure} totalParticipants
 * @property {Figure} unattributedParticipants
 * @property {Figure} totalViews
 * @property {Figure} [totalReach]
 * @property {Figure} totalConversions
 * @property {Figure} clickThroughRate
 * @property {Figure} conversionRate
 * @property {{ totalParticipants?: Figure } | null} [previous]
 * @property {{ totalParticipants?: Figure } | null} [delta] in percent
 *
 * @typedef {object} Channel
 * @property {string} channelName
 * @property {string} channelType
 * @property {ChannelState} state
 * @property {string | null} measuredAt
 * @property {Figure} participants
 * @property {Figure} views
 * @property {Figure} [expectedViews] a plan, never a measurement
 * @property {Figure} clickThroughRate
 * @property {Figure} conversionRate
 * @property {Figure} distributionCost
 * @property {Figure} costPerParticipant
 *
 * @typedef {object} Roi
 * @property {Figure} currentRoi
 * @property {Figure} targetRoi
 * @property {{ total: Figure, planned: Figure, channels: Figure }} investment
 * @property {{ total: Figure, recorded: Figure, expected: Figure, assumedShare: Figure }} revenue
 * @property {Figure} costPerParticipant
 * @property {Figure} breakEvenParticipants
 *
 * @typedef {Record<string, { kind: Kind, asOf?: string | null }>} Provenance
 *
 * @typedef {object} Dashboard
 * @property {string} eventId
 * @property {string} eventTitle
 * @property {string} status
 * @property {string | null} [startDate] of the event
 * @property {string | null} [endDate]
 * @property {Period} [period] that was asked for
 * @property {Summary} summary
 * @property {Channel[]} channelPerformance
 * @property {Roi} roi
 * @property {Provenance} [provenance]
 * @property {string | null} lastUpdatedAt
 *
 * @typedef {object} Point
 * @property {string} timestamp the bucket's start, with the zone's offset
 * @property {number} participants
 * @property {number} cumulativeParticipants
 * @property {boolean} complete
 *
 * @typedef {object} Timeline
 * @property {string} granularity
 * @property {Point[]} dataPoints
 * @property {{ direction: "up" | "down" | "flat" | "early" } | null} [trend]
 *
 * @typedef {object} EventLine
 * @property {string} eventId
 * @property {string} eventTitle
 * @property {string} status
 * @property {Figure} totalParticipants
 * @property {Figure} currentRoi
 * @property {Figure} targetRoi
 * @property {number[] | null} [sparkline] participants of each of the last 24 hours, oldest first
 *
 * @typedef {object} Merchant
 * @property {string} userId
 * @property {number} totalEvents
 * @property {Summary} summary
 * @property {Partial<Roi> | null} [roi]
 * @property {EventLine[]} events
 * @property {string | null} nextCursor
 * @property {string | null} [lastUpdatedAt]
 *
 * @typedef {object} Session
 * @property {string} userId
 * @property {string[]} roles
 * @property {string} [expiresAt]
 */
export {};
