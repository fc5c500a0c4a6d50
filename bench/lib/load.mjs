/**
 * The load, in a process of its own so that it takes no time from what it measures. Reads a plan from stdin, writes one
 * line of JSON: requests a second, latencies, failures. Each connection has its own share of the requests, so that no two
 * ask for the same user at a time.
 *
 * Plan: url, connections, seconds, rate? (requests a second over all connections), requests [{method, path, headers, body}],
 * or chains [refresh token] where each answer brings what the next request sends.
 */
import { json } from 'node:stream/consumers';
import autocannon from 'autocannon';

const plan = await json(process.stdin);
let [next, failed] = [0, 0];

const share = () => {
  const index = next;
  next += 1;
  if (plan.chains !== undefined) return [refreshes(plan.chains[index])];
  return plan.requests.filter((_request, position) => position % plan.connections === index);
};

/** A refresh token is good once: each answer brings the next one. */
function refreshes(first) {
  let refreshToken = first;
  return {
    method: 'POST',
    path: '/token/refresh',
    headers: { 'content-type': 'application/json' },
    setupRequest: (request) => ({ ...request, body: JSON.stringify({ refreshToken }) }),
    onResponse(status, body) {
      if (status === 200) ({ refreshToken } = JSON.parse(body));
      else failed += 1;
    },
  };
}

const result = await autocannon({
  url: plan.url,
  connections: plan.connections,
  duration: plan.seconds,
  ...(plan.rate !== undefined && { overallRate: plan.rate }),
  setupClient: (client) => client.setRequests(share()),
});
const { requests, latency, errors, timeouts, non2xx } = result;
console.log(
  JSON.stringify({
    rate: requests.total / result.duration,
    count: requests.total,
    p50: latency.p50,
    p99: latency.p99,
    failed: failed + errors + timeouts + non2xx,
  }),
);
