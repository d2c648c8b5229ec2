/** A line that says what could not be loaded, with a button that loads it again. */
import { html } from "../html.js";
import { texts } from "../state.js";

/** @param {{ text: string, retry: () => void }} props */
export const RetryNote = ({ text, retry }) => html`
  <p class="note retry-note">${text} <button type="button" class="button small" onClick=${retry}>${texts.value.problem.retry}</button></p>
`;
