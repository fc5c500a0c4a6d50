/** The Redis of the test run (global-setup.ts starts it) and key prefixes that keep tests apart on it. */
import { randomBytes } from 'node:crypto';

export function testRedisUrl(): string {
  const url = process.env['TEST_REDIS_URL'];
  if (url === undefined) throw new Error('TEST_REDIS_URL is not set: start the tests with "npm test"');
  return url;
}

export function testPrefix(): string {
  return `t${randomBytes(6).toString('hex')}`;
}
