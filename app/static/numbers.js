// Numbers as the page shows them.

/** Formats a whole number with thousands separators. */
export const formatCount = (value) => value.toLocaleString("en");

/** Formats a measured number, with at most one decimal, and none from 10. */
export const formatMeasured = (value) =>
  value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
