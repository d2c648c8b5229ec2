/** @param {string} n a formatted number @param {string} one @param {string} many */
export const counted = (n, one, many) => `${n} ${n === "1" ? one : many}`;
