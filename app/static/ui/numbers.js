// Numbers as the page shows them.

/** Formats a whole number with thousands separators. */
export const formatCount = (value) => value.toLocaleString("en");

/** Counts things: "1 character", "1,500 characters". */
export const countOf = (count, noun) => `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Formats a measured number, with at most one decimal, and none from 10. */
export const formatMeasured = (value) =>
  value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
