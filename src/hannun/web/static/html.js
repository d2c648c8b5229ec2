/** The template tag `html`, which turns a template into Preact nodes. */
import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export const html = htm.bind(h);
