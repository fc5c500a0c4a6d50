// Which events end a token is said once, in the contract; a checker takes what it does not know for an end.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ENDING_EVENT_TYPES, EVENT_TYPES } from '../../src/contract/event-types.ts';
import { CAUSES } from '../../src/domain/token.ts';
import { readEnd } from '../../src/gateway/end-of-token.ts';
import type { EndedEvent } from '../../src/gateway/index.ts';
import { issue, revokeAll } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { SseClient } from '../helpers/sse.ts';
import { closeBetweens, scriptedFeed, startBetween } from './between.ts';
import { closeCheckers, readyChecker, wordOf } from './checkers.ts';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterEach(() => {
  closeCheckers();
  closeBetweens();
});
afterAll(closeServices);

async function startScripted() {
  const between = await startBetween(service.url);
  const feed = scriptedFeed(() => service.store.now());
  between.answers.set('/events', feed.answer);
  const checker = await readyChecker(between.url);
  const heard: EndedEvent[] = [];
  const gaps: number[] = [];
  checker.on('ended', (event) => heard.push(event));
  checker.on('gap', () => gaps.push(1));
  return { between, feed, checker, heard, gaps };
}

describe('F23 no way to end a token can be forgotten in a gateway', () => {
  it.each(Object.entries(CAUSES))('%s is read as the end that it is', (_, { event: type, code }) => {
    const event = { type, tenant: 'default', userId: 'ada', tokenId: 't1', at: '2026-01-01T00:00:00Z', exp: 1 };
    expect(readEnd({ ...event, code })).toMatchObject({ tokenId: 't1', reason: code });
    // Events of earlier versions have no code.
    expect(readEnd(event)).toMatchObject({ tokenId: 't1', reason: expect.stringMatching(/^token_/) });
  });

  it('the contract names the events of all causes, and no others', () => {
    expect(new Set(ENDING_EVENT_TYPES)).toEqual(new Set(Object.values(CAUSES).map(({ event }) => event)));
    const others = EVENT_TYPES.filter((type) => !ENDING_EVENT_TYPES.some((one) => one === type));
    expect(others.map((type) => readEnd({ type, tokenId: 't1' }))).toEqual(others.map(() => 'nothing'));
  });

  it.each([
    ['with a code', { code: 'user_blocked' }, 'user_blocked'],
    ['with a code of later', { code: 'token_frozen' }, 'token_revoked'],
    ['without one', {}, 'token_revoked'],
  ])('an event of a type of later ends its token: %s', async (_, more, reason) => {
    const { feed, checker, heard } = await startScripted();
    const { body } = await issue(service, 'ada');
    expect(await wordOf(checker, body.accessToken)).toBe('active');
    const { tokenId } = body.token;
    const exp = Math.floor(service.store.now() / 1000) + 900;
    const event = { type: 'token.frozen', tenant: 'default', userId: 'ada', tokenId, at: '2026-01-01T00:00:00Z', exp };
    feed.write('token.frozen', { ...event, ...more });
    await until('the end', async () => (await wordOf(checker, body.accessToken)) === reason);
    expect(heard).toEqual([expect.objectContaining({ tokenId, reason })]);
  });

  it.each([
    ['a type of later', { type: 'user.frozen', tenant: 'default', userId: 'ada' }],
    ['a type of today', { type: 'token.revoked', tenant: 'default', userId: 'ada', tokenId: 7 }],
  ])('an end that does not say of which token is a gap: %s', async (_, event) => {
    const { between, feed, checker, gaps } = await startScripted();
    const { body } = await issue(service, 'bob');
    expect(await wordOf(checker, body.accessToken)).toBe('active');
    const before = between.countOf('/introspect');
    feed.write(event.type, event);
    await until('the gap', () => gaps.length > 0);
    feed.heartbeat();
    expect(await wordOf(checker, body.accessToken)).toBe('active');
    expect(between.countOf('/introspect')).toBe(before + 1);
  });

  it('what is no end changes nothing, and the feed is asked for ends alone', async () => {
    const { between, feed, checker, heard, gaps } = await startScripted();
    const { body } = await issue(service, 'eve');
    const { tokenId } = body.token;
    for (const type of ['token.issued', 'login.declined', 'user.blocked', 'tenant.changed'])
      feed.write(type, { type, tenant: 'default', userId: 'eve', tokenId });
    feed.write('notice', { text: 'of no event' });
    feed.write('token.logged_out', { type: 'token.logged_out', tokenId: 'another', at: '2026-01-01T00:00:00Z' });
    await until('the last of them', () => heard.length > 0);
    expect([await wordOf(checker, body.accessToken), heard.length, gaps.length]).toEqual(['active', 1, 0]);
    expect(between.countOf('/introspect')).toBe(0);
  });

  it.each([
    ['', ['token.revoked']],
    ['&types=token.issued,token.revoked', ['token.revoked']],
    ['&types=token.kicked', []],
  ])('GET /events?ends=true%s sends what ends tokens', async (query, types) => {
    const other = await startService();
    const client = new SseClient(other.url);
    await issue(other, 'ends');
    await revokeAll(other, 'ends');
    await client.connect(`?from=start&ends=true${query}`);
    await until('it has caught up', () => client.messages.some(({ data }) => data['live'] === true));
    const sent = client.messages.map(({ type }) => type).filter((type) => type !== 'heartbeat');
    client.cut();
    expect([...new Set(sent)]).toEqual(types);
  });
});
