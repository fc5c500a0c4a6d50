/**
 * Owns the scripts: loads each from its file, with the shared parts before it, and gives it a typed command.
 * Must not know what the replies mean; token-store.ts and user-store.ts do.
 */
import { readFileSync } from 'node:fs';
import type { Result } from 'ioredis';
import type { RedisClock } from './clock.ts';
import { REPLY_WITHIN_MS, type RedisClient } from './connect.ts';

/** tokens, user, history, events: the KEYS that every script takes first. */
type Four = [tokens: string, user: string, history: string, events: string];
/** tenant, userId, age of the oldest event kept (ms), life of a history (ms): the ARGV that every script takes first. */
type ScriptContext = [tenant: string, userId: string, eventsKeptMs: number, historyKeptMs: number];
type Flat = string[];

declare module 'ioredis' {
  interface RedisCommander<Context> {
    applyLogin(
      ...args: [
        ...Four,
        ...ScriptContext,
        version: string,
        tokenId: string,
        record: string,
        renewal: string,
        expiresAt: number,
        detail: string,
        lease: string,
        displacements: number,
        displacementsRemembered: number,
        maxTombstones: number,
        loginName: string,
        ...writes: (string | number)[],
      ]
    ): Result<['APPLIED', number] | ['CONFLICT', number, Flat, Flat], Context>;
    declineLogin(
      ...args: [...Four, ...ScriptContext, platform: string, detail: string]
    ): Result<['RECORDED', number], Context>;
    endTokens(
      ...args: [
        ...Four,
        ...ScriptContext,
        code: string,
        event: string,
        actor: string,
        selector: string,
        ...named: string[],
      ]
    ): Result<['ENDED', number, Flat], Context>;
    rotateRefresh(
      ...args: [
        ...Four,
        ...ScriptContext,
        tokenId: string,
        generation: number,
        graceMs: number,
        expiresAt: number,
        accessExpiresAt: number,
        idleMs: number,
        code: string,
        event: string,
        actor: string,
      ]
    ): Result<
      | ['ROTATED' | 'REPEATED', number, number, number, number, number]
      | ['REUSED' | 'EXPIRED' | 'UNREADABLE' | 'UNKNOWN', number]
      | ['ENDED', number, string],
      Context
    >;
    touchToken(...args: [...Four, ...ScriptContext, tokenId: string]): Result<['TOUCHED' | 'SKIPPED', number], Context>;
    renewLease(
      ...args: [
        ...Four,
        ...ScriptContext,
        tokenId: string,
        mode: 'renew' | 'release',
        leaseMs: number,
        graceMs: number,
        connectionId: string,
      ]
    ): Result<['RENEWED' | 'KEPT' | 'EXPIRED' | 'UNREADABLE' | 'UNKNOWN', number] | ['ENDED', number, string], Context>;
    setUserPolicy(...args: [...Four, ...ScriptContext, policy: string]): Result<['CHANGED', number], Context>;
    putTenant(
      ...args: [
        tenantKey: string,
        events: string,
        webhook: string,
        tenant: string,
        eventsKeptMs: number,
        expected: string,
        config: string,
        detail: string,
        hasWebhook: '1' | '',
      ]
    ): Result<['CHANGED', number, number] | ['MISMATCH', number], Context>;
    recordDeployment(
      ...args: [settings: string, shards: number, kid: string, epoch: string, formerKid: string]
    ): Result<['RECORDED', number], Context>;
    renewEpoch(...args: [settings: string, lost: string, epoch: string]): Result<['RENEWED' | 'KEPT', number], Context>;
    keepEvents(...args: [events: string, ms: number]): Result<['KEPT', number], Context>;
    raiseRetention(
      ...args: [longest: string, accessMs: number, wholeSince: number]
    ): Result<['RAISED', number], Context>;
    listWebhook(...args: [list: string, tenant: string]): Result<['LISTED', number], Context>;
    takeWebhook(
      ...args: [webhook: string, tenantKey: string, owner: string, leaseMs: number, version: number, url: string]
    ): Result<['TAKEN', number, Flat] | ['HELD' | 'STALE', number], Context>;
    noteWebhook(
      ...args: [webhook: string, owner: string, leaseMs: number, refused: number, ...fields: string[]]
    ): Result<['NOTED' | 'LOST', number], Context>;
    releaseWebhook(...args: [webhook: string, owner: string]): Result<['RELEASED' | 'LOST', number], Context>;
    forgetWebhook(
      ...args: [list: string, tenant: string, writerMs: number]
    ): Result<['FORGOTTEN' | 'KEPT', number], Context>;
    countAttempt(
      ...args: [key: string, limit: number, windowMs: number, whose: string, keepOut: number, ...kinds: string[]]
    ): Result<['ALLOWED', number, number[]], Context>;
    countFailure(
      ...args: [key: string, firstMs: number, longestMs: number, memoryMs: number, ...kinds: (string | number)[]]
    ): Result<['COUNTED', number, number], Context>;
    uncountAttempt(...args: [key: string]): Result<['UNCOUNTED', number], Context>;
    liftLocks(...args: [key: string]): Result<['LIFTED', number, Flat], Context>;
    renewHash(...args: [user: string, from: string, to: string]): Result<['RENEWED' | 'KEPT', number], Context>;
    listUsers(
      ...args: [index: string, from: string, to: string, count: number, goOn: string]
    ): Result<['LISTED', number, string[]] | ['RENEWING', number, string], Context>;
    createUser(
      ...args: [...Four, index: string, attempts: string, ...ScriptContext, name: string, passwordHash: string]
    ): Result<['CREATED', number, Flat] | ['EXISTS', number], Context>;
    changeUser(
      ...args: [
        ...Four,
        index: string,
        blocks: string,
        attempts: string,
        ...ScriptContext,
        name: string,
        olderName: string,
        passwordHash: string,
        block: string,
        until: number,
        reason: string,
        actor: string,
        ...revoke: string[],
      ]
    ): Result<['CHANGED', number, Flat, Flat] | ['PAST' | 'UNKNOWN', number], Context>;
    deleteUser(
      ...args: [
        ...Four,
        index: string,
        blocks: string,
        attempts: string,
        ...ScriptContext,
        name: string,
        olderName: string,
        code: string,
        event: string,
        actor: string,
      ]
    ): Result<['DELETED', number, Flat] | ['UNKNOWN', number], Context>;
  }
}

/** A script that frees memory or seats, or tells of it, must also run when Redis is out of memory. */
const ALLOWED_OUT_OF_MEMORY = 'flags=allow-oom';

/** What stands before a script: what all share, and for those on a user what is known of records. */
const BASE = ['base'];
const USER = ['base', 'lib'];

const SCRIPTS = [
  { command: 'applyLogin', file: 'apply-login', heads: USER, keys: 4, flags: '' },
  { command: 'declineLogin', file: 'decline-login', heads: USER, keys: 4, flags: '' },
  { command: 'endTokens', file: 'end-tokens', heads: USER, keys: 4, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'rotateRefresh', file: 'rotate-refresh', heads: USER, keys: 4, flags: '' },
  { command: 'touchToken', file: 'touch-token', heads: USER, keys: 4, flags: '' },
  { command: 'renewLease', file: 'renew-lease', heads: USER, keys: 4, flags: '' },
  { command: 'renewHash', file: 'renew-hash', heads: BASE, keys: 1, flags: '' },
  { command: 'listUsers', file: 'list-users', heads: BASE, keys: 1, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'createUser', file: 'create-user', heads: USER, keys: 6, flags: '' },
  { command: 'changeUser', file: 'change-user', heads: USER, keys: 7, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'deleteUser', file: 'delete-user', heads: USER, keys: 7, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'setUserPolicy', file: 'set-user-policy', heads: USER, keys: 4, flags: '' },
  { command: 'putTenant', file: 'put-tenant', heads: BASE, keys: 3, flags: '' },
  { command: 'recordDeployment', file: 'record-deployment', heads: BASE, keys: 1, flags: '' },
  { command: 'renewEpoch', file: 'renew-epoch', heads: BASE, keys: 1, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'keepEvents', file: 'keep-events', heads: BASE, keys: 1, flags: '' },
  { command: 'raiseRetention', file: 'raise-retention', heads: BASE, keys: 1, flags: '' },
  { command: 'listWebhook', file: 'list-webhook', heads: BASE, keys: 1, flags: '' },
  { command: 'takeWebhook', file: 'take-webhook', heads: BASE, keys: 2, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'noteWebhook', file: 'note-webhook', heads: BASE, keys: 1, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'releaseWebhook', file: 'release-webhook', heads: BASE, keys: 1, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'forgetWebhook', file: 'forget-webhook', heads: BASE, keys: 1, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'countAttempt', file: 'count-attempt', heads: BASE, keys: 1, flags: '' },
  { command: 'uncountAttempt', file: 'uncount-attempt', heads: BASE, keys: 1, flags: ALLOWED_OUT_OF_MEMORY },
  { command: 'countFailure', file: 'count-failure', heads: BASE, keys: 1, flags: '' },
  { command: 'liftLocks', file: 'lift-locks', heads: BASE, keys: 1, flags: ALLOWED_OUT_OF_MEMORY },
] as const;

/**
 * Gives the client one command a script (sent by digest, in full when Redis does not have it yet). Each goes out with a
 * deadline of its own, behind the arguments that it is called with.
 */
export function defineScripts(redis: RedisClient, clock: Pick<RedisClock, 'deadline'>): void {
  const commands = redis as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  for (const { command, file, heads, keys, flags } of SCRIPTS) {
    // With a first line of this form Redis refuses the script before it begins where it could not finish it.
    const text = [...heads, file].map(source).join('\n');
    const lua = `#!lua ${flags}\nlocal NEEDED = { ${luaTexts(commandsIn(text))} }\n${text}`;
    redis.defineCommand(command, { numberOfKeys: keys, lua });
    const send = commands[command]?.bind(redis);
    commands[command] = async (...args) => send?.(...args, clock.deadline(REPLY_WITHIN_MS));
  }
}

/** Every command that the scripts call, once. A hint (`pcall`) may be refused. */
export function commandsOfScripts(): string[] {
  return commandsIn([...BASE, ...USER, ...SCRIPTS.map(({ file }) => file)].map(source).join('\n'));
}

function luaTexts(texts: readonly string[]): string {
  return texts.map((text) => `'${text}'`).join(', ');
}

function commandsIn(lua: string): string[] {
  return [...new Set([...lua.matchAll(/redis\.call\('([A-Z]+)'/g)].map(([, name = '']) => name))].toSorted();
}

function source(file: string): string {
  return readFileSync(new URL(`scripts/${file}.lua`, import.meta.url), 'utf8');
}
