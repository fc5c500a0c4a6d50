/**
 * A gateway's process with several checkers of the packaged kind, each with its own feed. Gets their base URLs, says when all
 * of them have caught up, and is asked two things: whether they have heard of so many ends, and what became of tokens.
 */
import { createTokenChecker } from '../../dist/gateway/index.js';

const { GATEWAY_KEY, ISSUER } = process.env;
/** Signatures checked between two looks at the feed. */
const CHECKS_AT_ONCE = 50;

const gateways = process.argv.slice(2).map((url) => {
  const gateway = { ended: new Map(), latencies: [], gaps: 0, troubles: 0, questions: 0 };
  gateway.checker = createTokenChecker({
    issuer: ISSUER,
    url,
    gatewayKey: GATEWAY_KEY,
    mode: 'local',
    onError: () => (gateway.troubles += 1),
    fetch: (address, init) => {
      if (new URL(address).pathname === '/introspect') gateway.questions += 1;
      return fetch(address, init);
    },
  });
  gateway.checker.on('ended', ({ tokenId, endedAt }) => {
    gateway.latencies.push(Date.now() - Date.parse(endedAt));
    gateway.ended.set(tokenId, (gateway.ended.get(tokenId) ?? 0) + 1);
  });
  gateway.checker.on('gap', () => (gateway.gaps += 1));
  return gateway;
});

/** What each of these tokens is called by this gateway, counted. */
async function wordsOf({ checker }, tokens) {
  const words = {};
  for (let from = 0; from < tokens.length; from += CHECKS_AT_ONCE) {
    const verdicts = await Promise.all(tokens.slice(from, from + CHECKS_AT_ONCE).map((token) => checker.check(token)));
    for (const { active, reason } of verdicts) {
      const word = active ? 'active' : reason;
      words[word] = (words[word] ?? 0) + 1;
    }
  }
  return words;
}

async function reportOf(gateway, kicked) {
  const { ended, latencies, gaps, troubles } = gateway;
  const questions = gateway.questions;
  const words = await wordsOf(
    gateway,
    kicked.map(({ accessToken }) => accessToken),
  );
  return {
    missing: kicked.filter(({ tokenId }) => !ended.has(tokenId)).length,
    twice: [...ended.values()].filter((count) => count > 1).length,
    latencies,
    gaps,
    troubles,
    words,
    questions: gateway.questions - questions,
  };
}

process.on('message', async (message) => {
  if (message.kind === 'heard') return process.send(gateways.map(({ ended }) => ended.size));
  const reports = [];
  for (const gateway of gateways) reports.push(await reportOf(gateway, message.kicked));
  return process.send(reports);
});
process.once('disconnect', () => process.exit(0));

await Promise.all(gateways.map(({ checker }) => checker.ready()));
process.send('ready');
