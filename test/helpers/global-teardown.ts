/** Ends the Redis that global-setup.ts started; one that was given by TEST_REDIS_URL is left alone. */
export default async function globalTeardown(): Promise<void> {
  await globalThis.endTestRedis?.();
}
