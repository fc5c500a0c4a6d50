// The public keys of Latchkey in a gateway: how long they are believed, and what is no key set.
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { KeySet } from '../../src/gateway/key-set.ts';
import { makeKeySet, readKeySet } from '../../src/tokens/signing-keys.ts';
import { issue } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService } from '../helpers/service.ts';
import { answering, closeBetweens, scriptedFeed, startBetween } from './between.ts';
import { closeCheckers, fakeClocks, readyChecker, wordOf } from './checkers.ts';

afterEach(() => {
  closeCheckers();
  closeBetweens();
});
afterAll(closeServices);

const JWKS = '/.well-known/jwks.json';
const publicKey = async () => {
  const { jwks } = await readKeySet(await makeKeySet('EdDSA'), 'EdDSA');
  return jwks.keys[0] as NonNullable<(typeof jwks.keys)[0]>;
};

/** A key set on a clock of its own, that gets what `answer` is. */
function startSet(first: unknown) {
  const state = { answer: first, now: 0, gone: 0, fetches: 0, troubles: [] as unknown[] };
  const keys = new KeySet({
    async fetch() {
      state.fetches += 1;
      if (state.answer instanceof Error) throw state.answer;
      return state.answer;
    },
    now: () => state.now,
    onKeyGone: () => (state.gone += 1),
    onTrouble: (error) => state.troubles.push(error),
  });
  return { keys, state };
}

const ANSWERS_THAT_ARE_NONE: [string, unknown][] = [
  ['of a proxy under maintenance', { status: 'maintenance' }],
  ['null', null],
  ['a text', '<html>'],
  ['keys that are no list', { keys: {} }],
  ['no keys', { keys: [] }],
  ['null for a key', { keys: [null] }],
  ['keys that cannot be read', { keys: [{ kid: 'a', kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig', x: '!' }] }],
];

describe('F47 what is no key set takes no key away', () => {
  it.each(ANSWERS_THAT_ARE_NONE)('%s', async (_, answer) => {
    const key = await publicKey();
    const { keys, state } = startSet({ keys: [key] });
    await keys.refresh();
    state.answer = answer;
    await expect(keys.refresh()).rejects.toThrow('Latchkey gave no key set');
    expect([await keys.find(key.kid, key.alg), state.gone]).toEqual([expect.anything(), 0]);
    // Whether another key is known cannot be said.
    state.now += 6_000;
    await expect(keys.find('another', 'EdDSA')).rejects.toMatchObject({ name: 'GatewayUnavailableError' });
  });

  it('nor is it asked for by every made-up token', async () => {
    const { keys, state } = startSet({ status: 'maintenance' });
    const find = () => keys.find('made-up', 'EdDSA');
    const trouble = { name: 'GatewayUnavailableError' };
    for (let n = 0; n < 10; n += 1) await expect(find()).rejects.toMatchObject(trouble);
    expect(state.fetches).toBe(1);
    // Whoever asks for the keys themselves has them fetched.
    await expect(keys.refresh()).rejects.toMatchObject(trouble);
    expect(state.fetches).toBe(2);
    const key = await publicKey();
    state.answer = { keys: [key] };
    state.now += 5_001;
    expect([await keys.find(key.kid, key.alg), state.fetches]).toEqual([expect.anything(), 3]);
  });

  it('one key that cannot be read does not fail the others', async () => {
    const [one, two] = [await publicKey(), await publicKey()];
    const { keys, state } = startSet({ keys: [null, { ...one, x: 'AAAA' }, two] });
    await keys.refresh();
    expect([await keys.find(two.kid, two.alg), await keys.find(one.kid, one.alg)]).toEqual([
      expect.anything(),
      undefined,
    ]);
    expect(state.troubles).toEqual([expect.objectContaining({ message: expect.stringContaining(one.kid) })]);
    // Nor itself, once it was read: it is still published.
    state.answer = { keys: [one, two] };
    await keys.refresh();
    state.answer = { keys: [{ ...one, x: 'AAAA' }, two] };
    await keys.refresh();
    expect([await keys.find(one.kid, one.alg), state.gone]).toEqual([expect.anything(), 0]);
  });

  it('a checker goes on with the keys it has, and says so', async () => {
    const service = await startService();
    const between = await startBetween(service.url);
    const feed = scriptedFeed(() => service.store.now());
    between.answers.set('/events', feed.answer);
    const troubles: Error[] = [];
    const { clocks, wait } = fakeClocks();
    const onError = (error: unknown) => troubles.push(error as Error);
    const checker = await readyChecker(between.url, { maxStalenessMs: 3_600_000, onError }, clocks);
    between.answers.set(JWKS, answering(200, { status: 'maintenance' }));
    wait(301_000);
    const token = (await issue(service, 'ada')).body.accessToken;
    expect(await wordOf(checker, token)).toBe('active');
    await until('the fault is told', () => troubles.some(({ message }) => message === 'Latchkey gave no key set'));
    expect([await wordOf(checker, token), between.countOf('/introspect')]).toEqual(['active', 0]);
  });
});

describe('F49 keys are believed for a time', () => {
  it('that ends, with an endpoint that answers nothing, a quarter of an hour after they were fetched', async () => {
    const key = await publicKey();
    const { keys, state } = startSet({ keys: [key] });
    await keys.refresh();
    state.answer = new Error('down');
    state.now = 899_000;
    expect([await keys.find(key.kid, key.alg), keys.isBelievable()]).toEqual([expect.anything(), true]);
    state.now = 901_000;
    expect(keys.isBelievable()).toBe(false);
    await expect(keys.find(key.kid, key.alg)).rejects.toThrow('down');
    state.answer = { keys: [key] };
    state.now += 6_000;
    expect([await keys.find(key.kid, key.alg), keys.isBelievable()]).toEqual([expect.anything(), true]);
  });

  it('a key that was taken out is not found after it, and asked for before it without hurry', async () => {
    const [old, next] = [await publicKey(), await publicKey()];
    const { keys, state } = startSet({ keys: [old] });
    await keys.refresh();
    state.answer = { keys: [next] };
    state.now = 301_000;
    const before = state.fetches;
    for (let n = 0; n < 10; n += 1) keys.isBelievable();
    await until('it is fetched', () => state.gone === 1);
    expect([await keys.find(old.kid, old.alg), state.fetches]).toEqual([undefined, before + 1]);
    state.now = 2_000_000;
    expect(await keys.find(old.kid, old.alg)).toBeUndefined();
  });

  it('by a checker that sees no unknown token too: old keys are asked about, withdrawn ones are gone', async () => {
    const service = await startService({ env: { ACCESS_TTL_SECONDS: '7200' } });
    const between = await startBetween(service.url);
    const { clocks, wait } = fakeClocks();
    let waited = 0;
    const feed = scriptedFeed(() => service.store.now() + waited);
    between.answers.set('/events', feed.answer);
    const checker = await readyChecker(between.url, { maxStalenessMs: 10_000 }, clocks);
    const token = (await issue(service, 'ada')).body.accessToken;
    const isAsked = async () => {
      const before = between.countOf('/introspect');
      expect(await wordOf(checker, token)).toBe('active');
      return between.countOf('/introspect') > before;
    };
    const pass = async (ms: number) => {
      wait(ms);
      waited += ms;
      feed.heartbeat();
      await until('the feed is fresh', () => checker.stalenessMs() < 10_000);
    };
    expect(await isAsked()).toBe(false);
    between.answers.set(JWKS, answering(500, ''));
    await pass(901_000);
    expect(await isAsked()).toBe(true);
    between.answers.delete(JWKS);
    await pass(10_000);
    await until('it answers by itself', async () => !(await isAsked()));
    between.answers.set(JWKS, answering(200, { keys: [await publicKey()] }));
    await pass(301_000);
    await until('it is gone', async () => (await wordOf(checker, token)) === 'token_invalid');
    expect(await wordOf(checker, token)).toBe('token_invalid');
  });
});
