/**
 * Wires the service: use cases over a store, endpoints over use cases. Starts nothing, reads no setting, opens nothing.
 */
import type { RequestListener } from 'node:http';
import type { Config } from './config.ts';
import type { Credentials } from './tokens/credentials.ts';
import { createHashPassword, createPasswordCredentials } from './credentials/directory.ts';
import { createPasswords, type Passwords } from './credentials/password.ts';
import { adminRuleEndpoints } from './http/admin-rules.ts';
import { adminTokenEndpoints } from './http/admin-tokens.ts';
import { adminUserEndpoints } from './http/admin-users.ts';
import { adminWebhookEndpoints } from './http/admin-webhooks.ts';
import { createAuthenticate } from './http/caller-auth.ts';
import { createCarryOut } from './http/carry-out.ts';
import { createClientReader } from './http/client.ts';
import { eventEndpoints } from './http/events.ts';
import type { Endpoint } from './http/endpoint.ts';
import { createErrorHandler } from './http/error-handler.ts';
import { createExchanges } from './http/exchange.ts';
import { createFastLane } from './http/fast-lane.ts';
import { healthEndpoints, type Readiness } from './http/health.ts';
import { introspectEndpoints } from './http/introspect.ts';
import { loginEndpoints } from './http/login.ts';
import { oauthTokenEndpoints } from './http/oauth-token.ts';
import { ownTokenEndpoints } from './http/own-tokens.ts';
import { presenceEndpoints } from './http/presence.ts';
import { createRequestLog } from './http/request-log.ts';
import { createRouter } from './http/router.ts';
import { validateEndpoints } from './http/validate.ts';
import { wellKnownEndpoints } from './http/well-known.ts';
import type { Logger } from './log.ts';
import type { Feed } from './tokens/feed.ts';
import { createLogin } from './tokens/login.ts';
import { createRefresh } from './tokens/refresh.ts';
import { createRefreshTokens } from './tokens/refresh-token.ts';
import { createPresence } from './tokens/presence.ts';
import { createRuleBook, type BaseRules } from './tokens/rules.ts';
import { createSignOut } from './tokens/sign-out.ts';
import type { Signer } from './tokens/signer.ts';
import type { SigningKeys } from './tokens/signing-keys.ts';
import type { Stores } from './tokens/store.ts';
import { createTenants } from './tokens/tenants.ts';
import { createThrottle } from './tokens/throttle.ts';
import { createUsers } from './tokens/users.ts';
import { createIdentify, createJudge } from './tokens/verdict.ts';
import { createWebhookRule } from './tokens/webhook-rule.ts';

export type Secrets = { readonly refreshSecret: string; readonly adminApiKey: string; readonly gatewayApiKey: string };

export type AppDeps = {
  readonly config: Pick<
    Config,
    | 'production'
    | 'issuer'
    | 'audience'
    | 'platforms'
    | 'policy'
    | 'given'
    | 'maxPerPlatform'
    | 'accessTtlSeconds'
    | 'refreshTtlSeconds'
    | 'idleTtlSeconds'
    | 'refreshGraceSeconds'
    | 'maxTokensPerUser'
    | 'introspectionReasons'
    | 'webhookTargets'
    | 'trustProxy'
    | 'passwordPolicy'
  >;
  readonly secrets: Secrets;
  readonly keys: SigningKeys;
  /** With the first of these keys. */
  readonly signer: Signer;
  readonly stores: Stores;
  readonly feed: Feed;
  readonly readiness: Readiness;
  readonly log: Logger;
  /** Given by who needs to see them; made otherwise. */
  readonly passwords?: Passwords;
  /** Who is asked about passwords; the built-in directory otherwise. */
  readonly credentials?: Credentials;
};

export type App = {
  /** Takes every request, the most frequent ones by the short way. */
  readonly listener: RequestListener;
  /** Takes every request too, all by the same way. */
  readonly router: RequestListener;
  readonly endpoints: readonly Endpoint[];
};

/** The HTTP side of Latchkey and the list of what it answers. */
export function createApp(deps: AppDeps): App {
  const { config, secrets, keys, signer, log } = deps;
  const { store } = deps.stores;
  const { issuer, audience, platforms } = config;
  const ruleBook = createRuleBook(baseRulesOf(config));
  const passwords = deps.passwords ?? createPasswords();
  const refreshTokens = createRefreshTokens(secrets.refreshSecret);
  const judge = createJudge(store, keys, issuer, audience);
  const identify = createIdentify(keys, issuer, audience);
  const signOut = createSignOut({ store, refreshTokens, identify, platforms });
  const credentials = deps.credentials ?? createPasswordCredentials(passwords, deps.stores.users);
  const throttle = createThrottle(deps.stores.attempts);
  const login = createLogin({ store, signer, refreshTokens, credentials, throttle, ruleBook });
  const refresh = createRefresh({ store, signer, refreshTokens, tenants: deps.stores.tenants, ruleBook });
  const users = createUsers(
    deps.stores.users,
    deps.stores.attempts,
    createHashPassword(passwords, config.passwordPolicy),
  );
  const webhookRule = createWebhookRule({
    httpsOnly: config.production,
    publicOnly: config.webhookTargets === 'public',
  });
  const tenants = createTenants({ ...deps.stores, ruleBook, webhookRule });
  const presence = createPresence(store, deps.stores.tenants);

  const endpoints = [
    ...loginEndpoints(login, platforms),
    ...ownTokenEndpoints(refresh, signOut, store, platforms),
    ...oauthTokenEndpoints(refresh, () => store.now()),
    ...validateEndpoints(judge),
    ...introspectEndpoints(judge, signOut, config.introspectionReasons),
    ...presenceEndpoints(presence),
    ...eventEndpoints(deps.feed),
    ...adminUserEndpoints(users, () => store.now()),
    ...adminTokenEndpoints(store, signOut, platforms),
    ...adminRuleEndpoints(tenants, ruleBook, webhookRule),
    ...adminWebhookEndpoints(tenants, deps.stores.webhooks),
    ...wellKnownEndpoints(keys, issuer),
    ...healthEndpoints(deps.readiness),
  ];

  const client = createClientReader(config.trustProxy);
  const lane = {
    endpoints,
    begin: createExchanges(createRequestLog(log, client)),
    carryOut: createCarryOut(createAuthenticate(judge, secrets.adminApiKey, secrets.gatewayApiKey), client, () =>
      deps.readiness.hasAgreed(),
    ),
    answerError: createErrorHandler(log),
  };
  const router = createRouter(lane);
  return { router, listener: createFastLane(lane, router), endpoints };
}

function baseRulesOf(config: AppDeps['config']): BaseRules {
  const names = {
    LOGIN_POLICY: 'policy',
    ACCESS_TTL_SECONDS: 'accessSeconds',
    REFRESH_TTL_SECONDS: 'refreshSeconds',
    IDLE_TTL_SECONDS: 'idleSeconds',
  } as const;
  return {
    policy: config.policy,
    platforms: config.platforms,
    maxPerPlatform: config.maxPerPlatform,
    maxTokens: config.maxTokensPerUser,
    refreshGraceMs: config.refreshGraceSeconds * 1000,
    ttl: {
      accessSeconds: config.accessTtlSeconds,
      refreshSeconds: config.refreshTtlSeconds,
      idleSeconds: config.idleTtlSeconds,
      maxSeconds: 0,
    },
    set: new Set(Object.entries(names).flatMap(([name, rule]) => (config.given.has(name) ? [rule] : []))),
  };
}
