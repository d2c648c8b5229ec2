/** What somebody writes who builds on the contract with a generated client: every view, by its names and types. */

import { createClient } from "./client/client";
import * as api from "./client/sdk.gen";

declare const process: { env: Record<string, string> };

const { ADDRESS, TOKEN, EVENT, USER } = process.env;
const client = createClient({ baseUrl: ADDRESS, auth: TOKEN });
const event = { client, path: { eventId: EVENT }, throwOnError: true } as const;
const merchant = { client, path: { userId: USER }, throwOnError: true } as const;

async function figures() {
  const dashboard = (await api.eventDashboard(event)).data;
  const channels = (await api.eventChannels({ ...event, query: { sortBy: "views", sortOrder: "asc" } })).data;
  const timeline = (await api.eventTimeline({ ...event, query: { granularity: "daily", tz: "UTC" } })).data;
  const roi = (await api.eventRoi({ ...event, query: { includeProjection: true } })).data;
  const user = (await api.userDashboard({ ...merchant, query: { limit: 1 } })).data;
  const userChannels = (await api.userChannels(merchant)).data;
  const userTimeline = (await api.userTimeline({ ...merchant, query: { granularity: "weekly" } })).data;
  const userRoi = (await api.userRoi(merchant)).data;
  const refused = await api.eventTimeline({ client, path: { eventId: EVENT }, query: { tz: "Mars/Olympus" } });
  const code: string | undefined = refused.error?.code;
  const came: number = dashboard.summary.totalParticipants;
  const points: number[] = timeline.dataPoints.map((point) => point.participants ?? 0);
  const rate: number | null = roi.currentRoi;
  return {
    figures: { came, points, rate, code },
    answers: { dashboard, channels, timeline, roi, user, userChannels, userTimeline, userRoi },
  };
}

figures().then((told) => console.log(JSON.stringify(told)));
