/**
 * Owns how endpoints are found: by Express' router; a known path with another method is 405 with Allow, an unknown one 404.
 * The most frequent requests do not come this way (fast-lane.ts): what all requests need is in exchange.ts and carry-out.ts.
 */
import express, { type ErrorRequestHandler, type Express, type Response } from 'express';
import { LatchkeyError } from '../contract/errors.ts';
import type { CarryOut } from './carry-out.ts';
import { pathsOf, type Endpoint } from './endpoint.ts';
import type { AnswerError } from './error-handler.ts';
import type { BeginExchange, Exchange } from './exchange.ts';
import { targetOf } from './target.ts';

export type Lane = {
  readonly endpoints: readonly Endpoint[];
  readonly begin: BeginExchange;
  readonly carryOut: (spec: Endpoint) => CarryOut;
  readonly answerError: AnswerError;
};

export function createRouter({ endpoints, begin, carryOut, answerError }: Lane): Express {
  const app = express();
  app.disable('x-powered-by');
  // One spelling of each path: a proxy in front guards paths letter by letter.
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.disable('query parser');
  app.use((request, response, next) => {
    response.locals['exchange'] = begin(request, response);
    const target = targetOf(request.url);
    if (target === undefined) throw new LatchkeyError('not_found');
    response.locals['query'] = target.query;
    request.url = target.path;
    next();
  });
  for (const spec of endpoints) {
    const register = spec.method === 'any' ? 'all' : spec.method;
    const run = carryOut(spec);
    app[register]([...pathsOf(spec)], (request, response) =>
      run(exchangeOf(response), { params: request.params, query: String(response.locals['query']) }),
    );
  }
  for (const [path, allow] of allowedMethods(endpoints)) {
    app.all(path, (_request, response) => {
      response.setHeader('Allow', allow);
      throw new LatchkeyError('method_not_allowed');
    });
  }
  app.use(() => {
    throw new LatchkeyError('not_found');
  });
  const onError: ErrorRequestHandler = (thrown: unknown, _request, response, _next) =>
    answerError(exchangeOf(response), thrown);
  app.use(onError);
  return app;
}

function exchangeOf(response: Response): Exchange {
  return response.locals['exchange'] as Exchange;
}

function allowedMethods(endpoints: readonly Endpoint[]): [path: string, allow: string][] {
  return [...new Set(endpoints.flatMap(pathsOf))].map((path) => {
    const methods = endpoints.filter((spec) => pathsOf(spec).includes(path)).map((spec) => spec.method.toUpperCase());
    return [path, (methods.includes('GET') ? [...methods, 'HEAD'] : methods).join(', ')];
  });
}
