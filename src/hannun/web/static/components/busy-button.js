/** A button that does nothing while what it started runs. */
import { html } from "../html.js";

/**
 * It is not `disabled`: a browser takes the focus away from such a button, and the keyboard would start again at the top.
 * @param {object} props and the attributes of the button
 * @param {boolean} props.busy
 * @param {"submit" | "button"} [props.type]
 * @param {() => void} [props.onClick]
 * @param {import("../vendor/preact.js").ComponentChildren} [props.children]
 */
export const BusyButton = ({ busy, type = "button", onClick, children, ...attributes }) => html`
  <button ...${attributes} type=${type} aria-disabled=${busy} onClick=${busy ? ignore : onClick}>${children}</button>
`;

/** The Enter key in a field clicks the button too, so this also keeps a form from being sent. @param {Event} event */
const ignore = (event) => event.preventDefault();
