/** What an operator reads in the log about webhooks. */
import { describe, expect, it } from '@jest/globals';
import { createLog } from '../src/log.ts';
import { createWebhookNews } from '../src/webhook-news.ts';

const WARN = 40;
const INFO = 30;

function newsWithLog() {
  const lines: Record<string, unknown>[] = [];
  const time = { ms: 0 };
  const log = createLog('info', { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { lines, time, news: createWebhookNews(log, () => time.ms) };
}

describe('F28 webhook trouble of our own', () => {
  it('is a warning at once, and then once a minute, with how often it was not told', () => {
    const { lines, time, news } = newsWithLog();
    for (; time.ms < 119_000; time.ms += 2_000) news.onTrouble('acme', new Error('no signature'));
    expect(lines).toMatchObject([
      { level: WARN, tenant: 'acme', err: { message: 'no signature' }, untold: 0 },
      { level: WARN, tenant: 'acme', err: { message: 'no signature' }, untold: 29 },
    ]);
  });

  it('that all tenants have at a time is one, and another one is another', () => {
    const { lines, news } = newsWithLog();
    for (let tenant = 0; tenant < 1_000; tenant += 1) news.onTrouble(`tenant-${tenant}`, new Error('Redis is away'));
    news.onTrouble('acme', new Error('no signature'));
    news.onTrouble(undefined, 'no error at all');
    expect(lines.map(({ err, level }) => [level, (err as { message: string }).message])).toEqual([
      [WARN, 'Redis is away'],
      [WARN, 'no signature'],
      [WARN, 'string'],
    ]);
  });

  it('never fills the log, however many kinds there are', () => {
    const { lines, time, news } = newsWithLog();
    for (let kind = 0; kind < 1_000; kind += 1) news.onTrouble('acme', new Error(`kind ${kind}`));
    expect(lines).toHaveLength(100);
    time.ms += 60_000;
    news.onTrouble('acme', new Error('kind 1000'));
    expect(lines).toHaveLength(101);
  });
});

describe('F44 what a receiver answers', () => {
  it('is a warning where an event is lost or the receiver is gone, and a note otherwise', () => {
    const { lines, news } = newsWithLog();
    news.onRefused('acme', { jti: '1-2-3', error: 'invalid_request', at: 0 });
    news.onFailed('acme', { kind: 'failed', error: 'status_410' }, 3_600_000);
    news.onFailed('acme', { kind: 'failed', error: 'status_400', refusal: 'invalid_key' }, 1_000);
    expect(lines).toMatchObject([
      { level: WARN, tenant: 'acme', jti: '1-2-3', error: 'invalid_request' },
      { level: WARN, tenant: 'acme', error: 'status_410', waitMs: 3_600_000 },
      { level: INFO, tenant: 'acme', error: 'status_400', refusal: 'invalid_key', waitMs: 1_000 },
    ]);
  });
});
