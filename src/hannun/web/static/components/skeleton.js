/** Placeholder with the layout of the figures, until the first answer. Later loads never replace the page with it. */
import { html } from "../html.js";
import { texts } from "../state.js";

/** @param {{ tiles: number }} props */
export const Skeleton = ({ tiles }) => html`
  <div class="skeleton" role="status">
    <span class="sr-only">${texts.value.loading}</span>
    <div class="placeholder title"></div>
    <div class="placeholder line"></div>
    <div class="placeholders">${Array.from({ length: tiles }, () => html`<div class="placeholder card"></div>`)}</div>
  </div>
`;
