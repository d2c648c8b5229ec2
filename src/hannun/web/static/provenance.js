/** The origin of a figure: its kind and as of when it holds, from the `provenance` of an answer. Pure. */

/** @typedef {import("./api-types.js").Figure} Figure */
/** @typedef {import("./api-types.js").Provenance} Provenance */

/** @param {Figure} figure @returns {figure is null | undefined} */
export const isMissing = (figure) => figure === null || figure === undefined;

/**
 * The provenance of a figure: its own entry in the answer, else that of the nearest object around it. Null for a missing
 * figure.
 * @param {Figure} figure
 * @param {Provenance | undefined} provenance
 * @param {string} path like "roi.investment.total"
 */
export function provenanceOf(figure, provenance, path) {
  if (isMissing(figure)) return null;
  for (let part = path; part; part = part.slice(0, Math.max(0, part.lastIndexOf(".")))) {
    const found = provenance?.[part];
    if (found) return found;
  }
  return null;
}

/**
 * The figure, or null if its provenance is "unknown". An empty sum is 0, and an unmeasured figure must not show as 0.
 * @param {Figure} figure
 * @param {Provenance | undefined} provenance
 * @param {string} path
 */
export const measuredOrNull = (figure, provenance, path) => (provenanceOf(figure, provenance, path)?.kind === "unknown" ? null : figure);
