/**
 * Owns what the target of a request says: which path, and which query. Both ways to the endpoints look paths up as they
 * stand here, letter by letter: a proxy that guards a path must not be passed by another spelling of it.
 */

export type Target = { readonly path: string; readonly query: string };

const HTTP_AUTHORITY = /^https?:\/\/[^/?#]+(?=[/?]|$)/i;

/**
 * Of the origin-form, or of the absolute-form, whose authority counts for nothing here (RFC 9112 section 3.2). Undefined
 * for any other: nothing is found there.
 *
 * @example targetOf('http://latchkey.test/tokens?x=1') // { path: '/tokens', query: 'x=1' }
 */
export function targetOf(url: string): Target | undefined {
  const cut = url.indexOf('?');
  const [before, query] = cut < 0 ? [url, ''] : [url.slice(0, cut), url.slice(cut + 1)];
  const path = before.startsWith('/') ? before : pathAfterAuthority(before);
  return path === undefined || path.includes('#') || query.includes('#') ? undefined : { path, query };
}

function pathAfterAuthority(url: string): string | undefined {
  const [authority] = HTTP_AUTHORITY.exec(url) ?? [];
  return authority === undefined ? undefined : url.slice(authority.length) || '/';
}
