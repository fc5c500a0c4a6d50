/**
 * Owns what of a password counts: the mappings of the OpaqueString profile (RFC 8265 section 4.2.2). Must not know what a
 * password is checked against.
 */

/** Unicode's space separators; the ASCII space among them is mapped to itself. */
const SPACES = /\p{Zs}/gu;

/**
 * One text for all ways to type it: every space is an ASCII space, and letters are composed (NFC), as one system writes "ñ"
 * as one character and another as two. No character is forbidden, and case counts.
 *
 * @example opaqueString('man\u0303ana') === 'mañana'
 */
export function opaqueString(text: string): string {
  return text.replaceAll(SPACES, ' ').normalize('NFC');
}
