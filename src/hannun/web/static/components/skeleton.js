/** The room the numbers will take, before the first answer. Shown once: a refetch never clears the page. */
import { html } from "../html.js";
import { words } from "../state.js";

/** @param {{ tiles: number }} props */
export const Skeleton = ({ tiles }) => html`
  <div class="skeleton" role="status">
    <span class="sr-only">${words.value.loading}</span>
    <div class="bone title"></div>
    <div class="bone line"></div>
    <div class="bones">${Array.from({ length: tiles }, () => html`<div class="bone card"></div>`)}</div>
  </div>
`;
