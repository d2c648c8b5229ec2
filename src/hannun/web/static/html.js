/** The template tag `html`, which turns a template into Preact nodes. */
import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

/**
 * Create a node that htm does not cache as a static part of its template. A cached node would refer to the parent under
 * which it was first rendered, and so, through the nodes that Preact reuses, to parts of all later renderings: an open
 * page would grow for ever. For the same reason no module keeps a node in a constant.
 * @this {number[]} a list of htm's, in which a 3 means that the node is not static
 * @param {Parameters<typeof h>} node
 */
function createNode(...node) {
  this.splice(0, 1, 3);
  return h(...node);
}

export const html = htm.bind(/** @type {typeof h} */ (createNode));
