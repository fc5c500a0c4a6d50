/** Owns the calls of the set-up: many at a time over connections that are kept. Throws at the first that fails. */
import { Agent, request } from 'node:http';

const AT_ONCE = 64;
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

/** @param wanted method, path, headers, body, as load.mjs takes them; answers { headers, body } */
export function call(url, { method, path, headers = {}, body }) {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}${path}`, { method, headers, agent }).once('error', reject);
    sent.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.once('end', () => {
        if (response.statusCode >= 400) reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
        else resolve({ headers: response.headers, body: text === '' ? undefined : JSON.parse(text) });
      });
    });
    sent.end(body);
  });
}

/** Runs `task` for 0 … count-1, a bounded number at a time; answers in order. */
export async function inParallel(count, task, atOnce = AT_ONCE) {
  const answers = [];
  let next = 0;
  const work = async () => {
    while (next < count) {
      const index = next;
      next += 1;
      answers[index] = await task(index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return answers;
}
