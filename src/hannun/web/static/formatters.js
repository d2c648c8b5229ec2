/** The formatters of numbers and times of the browser, each made once: to make one takes as long as a hundred uses. */

/** @type {Map<string, any>} */
const made = new Map();

/**
 * @template T
 * @param {new (locale: string, options: any) => T} kind of `Intl`
 * @param {string} locale
 * @param {Record<string, unknown>} options
 * @returns {T}
 */
export function formatterOf(kind, locale, options) {
  const key = `${kind.name} ${locale} ${JSON.stringify(options)}`;
  let formatter = made.get(key);
  if (!formatter) made.set(key, (formatter = new kind(locale, options)));
  return formatter;
}
