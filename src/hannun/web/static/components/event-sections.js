/** What stands below the chart of an event: advice, channels, funnel, money, and when participants come. */
import { html } from "../html.js";
import { Advice } from "./advice.js";
import { Channels } from "./channels.js";
import { Funnel } from "./funnel.js";
import { HeatMap } from "./heat-map.js";
import { RoiPanel } from "./roi-panel.js";

/**
 * @param {object} props
 * @param {import("../api-types.js").Dashboard} props.dashboard
 * @param {import("../api-types.js").Insights | null} props.insights null until they are loaded
 * @param {boolean} props.insightsFailed whether the newest load of them failed
 * @param {() => void} props.retry load them again
 */
export const EventSections = ({ dashboard, insights, insightsFailed, retry }) => html`
  <div class="event-sections">
    <${Advice} dashboard=${dashboard} insights=${insights} failed=${insightsFailed} retry=${retry} />
    <${Channels} dashboard=${dashboard} />
    <${RoiPanel} dashboard=${dashboard} />
    <${Funnel} dashboard=${dashboard} />
    <${HeatMap} map=${insights?.heatMap} loaded=${insights !== null} failed=${insightsFailed} retry=${retry} />
  </div>
`;
