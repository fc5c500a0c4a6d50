/**
 * Owns the short way to the endpoints that are asked most: their paths are looked up before the router, whose search costs
 * more than the work itself. What is found here is carried out as the router would; all else goes to the router.
 */
import type { IncomingMessage, RequestListener } from 'node:http';
import { NOTHING, type CarryOut } from './carry-out.ts';
import { pathsOf } from './endpoint.ts';
import type { Lane } from './router.ts';
import { targetOf } from './target.ts';

type Route = {
  readonly method: string;
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly run: CarryOut;
};
type Found = { readonly run: CarryOut; readonly params: Readonly<Record<string, string>>; readonly query: string };

const ANY = '';

export function createFastLane(lane: Lane, router: RequestListener): RequestListener {
  const { endpoints, begin, carryOut, answerError } = lane;
  const exact = new Map<string, Map<string, CarryOut>>();
  const routes: Route[] = [];
  for (const spec of endpoints.filter(({ hot }) => hot)) {
    const run = carryOut(spec);
    const method = spec.method === 'any' ? ANY : spec.method.toUpperCase();
    for (const path of pathsOf(spec)) {
      if (/[:*]/.test(path)) routes.push({ method, run, ...patternOf(path) });
      else exact.set(path, (exact.get(path) ?? new Map()).set(method, run));
    }
  }

  function find({ method = '', url = '' }: IncomingMessage): Found | undefined {
    const target = targetOf(url);
    if (target === undefined) return undefined;
    const { path, query } = target;
    const methods = exact.get(path);
    const run = methods?.get(method) ?? methods?.get(ANY);
    if (run !== undefined) return { run, params: NOTHING, query };
    for (const route of routes) {
      const match = route.method === ANY || route.method === method ? route.pattern.exec(path) : null;
      const params = match && paramsOf(route.names, match);
      if (params) return { run: route.run, params, query };
    }
    return undefined;
  }

  return (request, response) => {
    const found = find(request);
    if (found === undefined) return router(request, response);
    const exchange = begin(request, response);
    found
      .run(exchange, { params: found.params, query: found.query })
      .catch((error: unknown) => answerError(exchange, error));
  };
}

/** `/a/:b/*rest` as an expression. What a wildcard stands for is of no use to any endpoint. */
function patternOf(path: string): Pick<Route, 'pattern' | 'names'> {
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => name);
  const source = path.replaceAll(/:\w+/g, '([^/]+)').replaceAll(/\{\*\w+\}/g, '.*');
  return { names, pattern: new RegExp(`^${source}$`) };
}

/** Undefined where the address is not well formed: the router knows what to say. */
function paramsOf(names: readonly string[], match: RegExpExecArray): Found['params'] | undefined {
  try {
    return Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(match[index + 1] ?? '')]));
  } catch {
    return undefined;
  }
}
