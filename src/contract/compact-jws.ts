/**
 * Owns which texts an access token can have: one. What verifies signatures takes other spellings of the same bytes too.
 */

/**
 * Whether a text is a JWS in its compact form as its signer wrote it (RFC 7515 section 3.1): three parts in base64url
 * without padding, white space or other signs, and without bits that are left over at the end of a part.
 *
 * @example isCompactJws('e30.e30.AA') // true; not so 'e30.e30.AB', which says the same bytes
 */
export function isCompactJws(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 3 && parts.every((part) => Buffer.from(part, 'base64url').toString('base64url') === part);
}
