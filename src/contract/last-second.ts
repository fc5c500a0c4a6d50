/**
 * Owns how late a time in a token can be. Must not import a schema library: gateways read it too.
 */

/** The last second that RFC 3339 can write: the end of the year 9999, in unix seconds. */
export const LAST_SECOND = 253_402_300_799;
