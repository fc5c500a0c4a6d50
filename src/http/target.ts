/**
 * Owns what the target of a request says: which path, and which query. Both ways to the endpoints look paths up as they
 * stand here, letter by letter: a proxy that guards a path must not be passed by another spelling of it.
 */

export type Target = { readonly path: string; readonly query: string };

const RAW_BYTE = /[\x80-\xff]/g;
const HTTP_AUTHORITY = /^https?:\/\/[^/?#]+(?=[/?]|$)/i;

/**
 * Of the origin-form, or of the absolute-form, whose authority counts for nothing here (RFC 9112 section 3.2). Undefined
 * for any other: nothing is found there. Raw bytes come out percent-encoded: node:http hands them over as Latin-1, in which
 * a name in UTF-8 would be another name.
 *
 * @example targetOf('http://latchkey.test/tokens?x=1') // { path: '/tokens', query: 'x=1' }
 */
export function targetOf(raw: string): Target | undefined {
  const url = raw.replaceAll(RAW_BYTE, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
  const cut = url.indexOf('?');
  const [before, query] = cut < 0 ? [url, ''] : [url.slice(0, cut), url.slice(cut + 1)];
  const path = before.startsWith('/') ? before : pathAfterAuthority(before);
  return path === undefined || path.includes('#') || query.includes('#') ? undefined : { path, query };
}

function pathAfterAuthority(url: string): string | undefined {
  const [authority] = HTTP_AUTHORITY.exec(url) ?? [];
  return authority === undefined ? undefined : url.slice(authority.length) || '/';
}
