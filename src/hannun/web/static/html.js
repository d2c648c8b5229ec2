/** Markup: `html` turns a template into Preact's nodes. */
import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export const html = htm.bind(h);
