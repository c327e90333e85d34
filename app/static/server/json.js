// JSON with whole numbers that JavaScript cannot represent.

/**
 * Serializes a request body. A seed can be as large as 2^63 - 1, which a JavaScript number cannot
 * represent, so the page holds it as a string of digits and inserts the digits here.
 */
export function toJSON({ seed, ...rest }) {
  const json = JSON.stringify(rest);
  return seed === undefined ? json : `${json.slice(0, -1)},"seed":${BigInt(seed)}}`;
}
