// Times on the wire (ENV-9, ENV-R12).

const LAST_MS = 253_402_300_799_999; // the end of the year 9999

/**
 * `YYYY-MM-DDTHH:MM:SS.mmmZ` of milliseconds since 1970; times outside 1970 to 9999 become the nearest
 * inside.
 */
export function formatTimestamp(unixMs) {
  return new Date(Math.min(Math.max(unixMs, 0), LAST_MS)).toISOString();
}

/**
 * Nanoseconds since 1970 as a BigInt, or null for what is no time. Lenient: a space for the `T`, no zone (UTC
 * is meant), `Z` or an offset, 0 to 9 fractional digits. A leap second is the first moment of the next
 * minute.
 */
export function parseTimestamp(text) {
  const match =
    /^[ \t\n\r]*(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)?[ \t\n\r]*$/.exec(
      text,
    );
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const [fraction = "", sign, zoneHours = "0", zoneMinutes = "0"] = match.slice(7);
  if (hour > 23 || minute > 59 || second > 60 || Number(zoneHours) > 23 || Number(zoneMinutes) > 59)
    return null;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // Date.UTC would move the years 0 to 99
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || month < 1) return null;
  const offset = (Number(zoneHours) * 60 + Number(zoneMinutes)) * (sign === "-" ? -60 : 60);
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offset;
  if (seconds < 0) return null;
  return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
}
