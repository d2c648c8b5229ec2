/**
 * All texts of the page, in Korean and English: a file in `texts/` for each part of the page.
 *
 * A text with a value in it is a function, because the word order differs between the languages. The definitions of
 * figures are those of `spec/5-api.md`.
 */
import { adviceTexts } from "./texts/advice.js";
import { channelsTexts } from "./texts/channels.js";
import { chartTexts } from "./texts/chart.js";
import { eventTexts } from "./texts/event.js";
import { eventListTexts } from "./texts/event-list.js";
import { exportTexts } from "./texts/export.js";
import { figureSheetTexts } from "./texts/figure-sheet.js";
import { figuresTexts } from "./texts/figures.js";
import { funnelTexts } from "./texts/funnel.js";
import { liveTexts } from "./texts/live.js";
import { heatMapTexts } from "./texts/heat-map.js";
import { merchantsTexts } from "./texts/merchants.js";
import { operationsTexts } from "./texts/operations.js";
import { problemTexts } from "./texts/problem.js";
import { roiPanelTexts } from "./texts/roi-panel.js";
import { shareTexts } from "./texts/share.js";
import { shellTexts } from "./texts/shell.js";
import { deadLettersTexts } from "./texts/dead-letters.js";
import { systemTexts } from "./texts/system.js";
import { signInTexts } from "./texts/sign-in.js";

const ko = {
  ...shellTexts.ko,
  ...signInTexts.ko,
  ...merchantsTexts.ko,
  ...operationsTexts.ko,
  ...systemTexts.ko,
  ...deadLettersTexts.ko,
  ...eventListTexts.ko,
  ...figuresTexts.ko,
  ...figureSheetTexts.ko,
  ...eventTexts.ko,
  ...channelsTexts.ko,
  ...roiPanelTexts.ko,
  ...heatMapTexts.ko,
  ...funnelTexts.ko,
  ...adviceTexts.ko,
  ...chartTexts.ko,
  ...liveTexts.ko,
  ...exportTexts.ko,
  ...shareTexts.ko,
  ...problemTexts.ko,
};

/** @type {typeof ko} */
const en = {
  ...shellTexts.en,
  ...signInTexts.en,
  ...merchantsTexts.en,
  ...operationsTexts.en,
  ...systemTexts.en,
  ...deadLettersTexts.en,
  ...eventListTexts.en,
  ...figuresTexts.en,
  ...figureSheetTexts.en,
  ...eventTexts.en,
  ...channelsTexts.en,
  ...roiPanelTexts.en,
  ...heatMapTexts.en,
  ...funnelTexts.en,
  ...adviceTexts.en,
  ...chartTexts.en,
  ...liveTexts.en,
  ...exportTexts.en,
  ...shareTexts.en,
  ...problemTexts.en,
};

/** @typedef {typeof ko} Texts */
/** @typedef {"ko" | "en"} Lang */

/** @type {Record<Lang, Texts>} */
export const TRANSLATIONS = { ko, en };
