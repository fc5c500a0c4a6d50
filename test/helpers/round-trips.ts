/**
 * Counts what a call costs in Redis round trips and in signatures. A round trip is all commands that are sent before any
 * of their replies has come: a new one begins with a command that is sent while none is under way.
 */
import type { Signer } from '../../src/tokens/signer.ts';
import type { Service } from './service.ts';
import { signerWith } from './signing.ts';

export type Cost<T> = {
  readonly result: T;
  readonly roundTrips: number;
  /** Names of the commands, those of one round trip together. */
  readonly commands: readonly (readonly string[])[];
};

/** Runs `call` and watches every command that the service sends meanwhile. Calls at the same time are counted as one. */
export async function countRoundTrips<T>(service: Service, call: () => Promise<T>): Promise<Cost<T>> {
  const { redis } = service;
  const send = redis.sendCommand.bind(redis);
  const trips: string[][] = [];
  let underWay = 0;
  redis.sendCommand = (command, stream) => {
    if (underWay === 0) trips.push([]);
    trips.at(-1)?.push(command.name);
    underWay += 1;
    const answered = () => (underWay -= 1);
    command.promise.then(answered, answered);
    return send(command, stream);
  };
  try {
    const result = await call();
    return { result, roundTrips: trips.length, commands: trips };
  } finally {
    redis.sendCommand = send;
  }
}

/** A signer that counts. */
export function countingSigner(service: Service, issuer: string): { signer: Signer; signatures: () => number } {
  const real = signerWith(service.signingKeys, issuer);
  let count = 0;
  return {
    signer: {
      sign(token, issuedAt) {
        count += 1;
        return real.sign(token, issuedAt);
      },
    },
    signatures: () => count,
  };
}
