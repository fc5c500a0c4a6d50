/**
 * Owns what the primary and its workers say to each other, and how a worker is told that it is one.
 */

/** First argument of a worker's process; the second is the socket of the embedded Redis, where there is one. */
export const WORKER_ARGUMENT = 'worker';

/** `connection` comes with a socket. After `drain` there are no more of them. */
export type ToWorker = 'connection' | 'drain';

export type ToPrimary =
  | { readonly kind: 'ready' }
  /** It has agreed with Redis, and can do all that it is asked. Comes after `ready`. */
  | { readonly kind: 'agreed' }
  /** It ends, and so would the next one: no retry mends this. The text is for people. */
  | { readonly kind: 'refused'; readonly message: string };
