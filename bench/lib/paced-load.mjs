/**
 * Owns load at an even rate: each request has its moment, and its latency counts from there, so that waiting for a
 * connection, or for us, is not left out. Writes HTTP/1.1 by hand: at these rates a client library would be what is
 * measured.
 */
import { connect } from 'node:net';

const TICK_MS = 1;
/** Part of the time after which everybody is warm; what came before does not count. */
const WARM = 0.2;

/** For requests without a body. */
export async function sendPaced({ url, connections, seconds, rate, requests }) {
  const { hostname, port, host } = new URL(url);
  const texts = requests.map(({ method, path, headers }) => {
    const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
  });
  const count = Math.round(rate * seconds);
  const latencies = new Float64Array(count);
  const waiting = [];
  const idle = [];
  let [sent, answered, failed] = [0, 0, 0];

  const give = (socket, index) => {
    socket.index = index;
    socket.write(texts[index % texts.length]);
  };
  const onAnswer = (socket, text) => {
    const { index } = socket;
    latencies[index] = performance.now() - dueAt(index);
    if (!text.startsWith('HTTP/1.1 2')) failed += 1;
    answered += 1;
    const next = waiting.shift();
    if (next === undefined) idle.push(socket);
    else give(socket, next);
  };
  let onLost;
  const lost = new Promise((_resolve, reject) => {
    onLost = () => reject(new Error(`${url} has cut a connection`));
  });
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(hostname, port, onAnswer)));
  for (const socket of sockets) socket.once('close', onLost);
  idle.push(...sockets);

  const startedAt = performance.now();
  const dueAt = (index) => startedAt + (index / rate) * 1000;
  let timer;
  const all = new Promise((resolve) => {
    timer = setInterval(() => {
      const due = Math.min(count, Math.floor(((performance.now() - startedAt) / 1000) * rate));
      for (; sent < due; sent += 1) {
        const socket = idle.pop();
        if (socket === undefined) waiting.push(sent);
        else give(socket, sent);
      }
      if (answered === count) resolve();
    }, TICK_MS);
  });
  try {
    await Promise.race([all, lost]);
  } finally {
    clearInterval(timer);
    for (const socket of sockets) socket.off('close', onLost).destroy();
  }
  const counted = latencies.slice(Math.floor(count * WARM)).toSorted();
  const at = (part) => counted[Math.min(counted.length - 1, Math.floor(counted.length * part))];
  return { rate: (count / (performance.now() - startedAt)) * 1000, count, p50: at(0.5), p99: at(0.99), failed };
}

/** A connection that hands over each answer; one at a time, as none is asked for before the last has come. */
function open(host, port, onAnswer) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true }, () => resolve(socket)).once('error', reject);
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (text.length < end + 4 + length) return;
      const whole = text;
      text = '';
      onAnswer(socket, whole);
    });
  });
}
