/** Stands in for a worker that does nothing right; its second argument says how. Knows only what a primary says. */
const [, , , fault] = process.argv;
process.on('SIGTERM', () => {});
if (fault === 'crashes') process.exit(7);
if (fault === 'refuses') process.send({ kind: 'refused', message: 'it cannot be' }, () => process.exit(1));
// Stays, and takes no notice of anything.
if (fault === 'is deaf') {
  process.on('message', () => {});
  process.send({ kind: 'ready' });
}
