/**
 * The load, in a process of its own so that it takes no time from what it measures. Reads a plan from stdin, writes one
 * line of JSON: requests a second, latencies, failures. Each connection has its own share of the requests, so that no two
 * ask for the same user at a time.
 *
 * Plan: url, connections, seconds, requests [{method, path, headers, body}], or chains [refresh token] where each answer
 * brings what the next request sends; two for each connection, as the warm-up uses up the first. The warm-up is that of this
 * process: its own first second is slow enough to be what limits a fast server. With a rate (requests a second, evenly
 * spread) it goes by paced-load.mjs: autocannon sends the requests of a second in one burst. `isTrial`: no warm-up.
 */
import { json } from 'node:stream/consumers';
import autocannon from 'autocannon';
import { sendPaced } from './paced-load.mjs';

const WARM_UP_SECONDS = 1;

const plan = await json(process.stdin);
let [next, failed] = [0, 0];

console.log(JSON.stringify(plan.rate === undefined ? await sendAll() : await sendPaced(plan)));

function giveShare(client) {
  client.setRequests(share());
}

function share() {
  const index = next;
  next += 1;
  if (plan.chains !== undefined) return [refreshes(plan.chains[index])];
  return plan.requests.filter((_request, position) => (index - position) % plan.connections === 0);
}

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

/** As fast as they are answered. */
async function sendAll() {
  const { url, connections, seconds, isTrial } = plan;
  const warmup = isTrial ? undefined : { duration: WARM_UP_SECONDS };
  const result = await autocannon({
    url,
    connections,
    duration: seconds,
    setupClient: giveShare,
    ...(warmup && { warmup }),
  });
  const { requests, latency, errors, timeouts, non2xx } = result;
  // autocannon connects again in silence when it is cut off. At the end each connection has one request under way.
  const lost = Math.max(0, requests.sent - requests.total - connections);
  return {
    rate: requests.total / result.duration,
    count: requests.total,
    p50: latency.p50,
    p99: latency.p99,
    failed: failed + errors + timeouts + lost + non2xx,
  };
}
