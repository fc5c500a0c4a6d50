/**
 * Wires the service: use cases over a store, endpoints over use cases. Starts nothing, reads no setting, opens nothing.
 */
import express, { type Express } from 'express';
import helmet from 'helmet';
import type { Config } from './config.ts';
import { LatchkeyError } from './contract/errors.ts';
import { createPasswords, type Passwords } from './credentials/password.ts';
import { adminTokenEndpoints } from './http/admin-tokens.ts';
import { adminUserEndpoints } from './http/admin-users.ts';
import { createAuthenticate } from './http/caller-auth.ts';
import { mount, type Endpoint } from './http/endpoint.ts';
import { createErrorHandler } from './http/error-handler.ts';
import { healthEndpoints, type Readiness } from './http/health.ts';
import { introspectEndpoints } from './http/introspect.ts';
import { loginEndpoints } from './http/login.ts';
import { ownTokenEndpoints } from './http/own-tokens.ts';
import { createRequestContext } from './http/request-context.ts';
import { validateEndpoints } from './http/validate.ts';
import { wellKnownEndpoints } from './http/well-known.ts';
import type { Logger } from './log.ts';
import { createLogin } from './tokens/login.ts';
import { createRefresh } from './tokens/refresh.ts';
import { createRefreshTokens } from './tokens/refresh-token.ts';
import type { Rules } from './tokens/rules.ts';
import { createSignOut } from './tokens/sign-out.ts';
import { createSigner, type Signer } from './tokens/signer.ts';
import type { SigningKeys } from './tokens/signing-keys.ts';
import type { TokenStore, UserStore } from './tokens/store.ts';
import { createUsers } from './tokens/users.ts';
import { createJudge } from './tokens/verdict.ts';

export type Secrets = { readonly refreshSecret: string; readonly adminApiKey: string; readonly gatewayApiKey: string };

export type AppDeps = {
  readonly config: Pick<
    Config,
    | 'issuer'
    | 'audience'
    | 'platforms'
    | 'policy'
    | 'accessTtlSeconds'
    | 'refreshTtlSeconds'
    | 'idleTtlSeconds'
    | 'refreshGraceSeconds'
    | 'maxTokensPerUser'
    | 'introspectionReasons'
    | 'trustProxy'
  >;
  readonly secrets: Secrets;
  readonly keys: SigningKeys;
  readonly store: TokenStore;
  readonly users: UserStore;
  readonly readiness: Readiness;
  readonly log: Logger;
  /** Given by who needs to see or fail them; made otherwise. */
  readonly signer?: Signer;
  readonly passwords?: Passwords;
};

/** The HTTP side of Latchkey and the list of what it answers. */
export function createApp(deps: AppDeps): { app: Express; endpoints: readonly Endpoint[] } {
  const { config, secrets, keys, store, log } = deps;
  const { issuer, audience, platforms } = config;
  const rules = rulesOf(config);
  const signer = deps.signer ?? createSigner(keys, issuer, audience);
  const passwords = deps.passwords ?? createPasswords();
  const refreshTokens = createRefreshTokens(secrets.refreshSecret);
  const judge = createJudge(store, keys, issuer, audience);
  const signOut = createSignOut({ store, refreshTokens, judge, platforms });
  const login = createLogin({ store, signer, refreshTokens, passwords, rules });
  const refresh = createRefresh({ store, signer, refreshTokens, rules });
  const users = createUsers(deps.users, passwords);

  const endpoints = [
    ...loginEndpoints(login, platforms),
    ...ownTokenEndpoints(refresh, signOut, store, platforms),
    ...validateEndpoints(judge),
    ...introspectEndpoints(judge, signOut, config.introspectionReasons),
    ...adminUserEndpoints(users, () => store.now()),
    ...adminTokenEndpoints(store, signOut, platforms),
    ...wellKnownEndpoints(keys, issuer),
    ...healthEndpoints(deps.readiness),
  ];

  const app = express();
  app.set('trust proxy', config.trustProxy);
  app.set('etag', false);
  app.use(createRequestContext(log));
  app.use(helmet());
  app.use(mount(endpoints, createAuthenticate(judge, secrets.adminApiKey, secrets.gatewayApiKey)));
  app.use(() => {
    throw new LatchkeyError('not_found');
  });
  app.use(createErrorHandler(log));
  return { app, endpoints };
}

function rulesOf(config: AppDeps['config']): Rules {
  return {
    policy: config.policy,
    platforms: config.platforms,
    accessMs: config.accessTtlSeconds * 1000,
    refreshMs: config.refreshTtlSeconds * 1000,
    idleMs: config.idleTtlSeconds * 1000,
    maxTokens: config.maxTokensPerUser,
    refreshGraceMs: config.refreshGraceSeconds * 1000,
  };
}
