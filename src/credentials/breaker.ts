/**
 * Owns when a user service in trouble is left alone, so that it can recover. Must not know what it is asked. No single user
 * or address opens the circuit, whatever the service makes of them: then one stranger would keep everybody out.
 */
import { LatchkeyError } from '../contract/errors.ts';

/** So many failures in a row open the circuit: nobody is asked for a while. */
const FAILURES_TO_OPEN = 5;
/** So many users and so many addresses have to be among them, where what was asked may be to blame. */
const SEVERAL = 3;
const OPEN_FOR_MS = 5_000;
/** Half open: questions under way at a time, one of a user at an address, and not all of one address. */
const MAX_PROBES = 8;
const MAX_PROBES_OF_ADDRESS = 4;

/** The service did not answer, or answered that it cannot: an outage if others see it too. */
export class ServiceFailure extends Error {
  /** Nothing was sent yet, so it is the same for everybody. */
  readonly isForEverybody: boolean;

  constructor(message: string, isForEverybody: boolean) {
    super(message);
    this.name = 'ServiceFailure';
    this.isForEverybody = isForEverybody;
  }
}

/** Whose password is asked about, and from where. */
export type Asker = { readonly user: string; readonly address: string };

export type Breaker = {
  /**
   * Asks, unless the circuit is open. Whatever `ask` throws becomes `credentials_unavailable`; only a {@link ServiceFailure}
   * counts towards an outage.
   */
  guard<T>(asker: Asker, ask: () => Promise<T>): Promise<T>;
};

/** @param monotonic ms */
export function createBreaker(monotonic: () => number): Breaker {
  let openUntil = 0;
  let isHalfOpen = false;
  let evidence = newEvidence();
  const probes = new Set<Asker>();

  function fail(asker: Asker, failure: ServiceFailure): void {
    // What was under way when the circuit opened adds nothing.
    if (openUntil > monotonic()) return;
    evidence.add(asker, failure);
    if (!evidence.isOutage()) return;
    evidence = newEvidence();
    isHalfOpen = true;
    openUntil = monotonic() + OPEN_FOR_MS;
  }

  /** Any answer at all says that the service is there. */
  function close(): void {
    openUntil = 0;
    isHalfOpen = false;
    evidence = newEvidence();
  }

  function assertAdmitted(asker: Asker): void {
    const wait = openUntil - monotonic();
    if (wait > 0) throw new LatchkeyError('credentials_unavailable', { retryAfterSeconds: wait / 1000 });
    if (isHalfOpen && !mayProbe(asker)) throw new LatchkeyError('credentials_unavailable');
  }

  function mayProbe(asker: Asker): boolean {
    const ofAddress = [...probes].filter(({ address }) => address === asker.address);
    const isProbing = ofAddress.some(({ user }) => user === asker.user);
    return !isProbing && ofAddress.length < MAX_PROBES_OF_ADDRESS && probes.size < MAX_PROBES;
  }

  return {
    async guard(asker, ask) {
      assertAdmitted(asker);
      if (isHalfOpen) probes.add(asker);
      try {
        const answer = await ask();
        close();
        return answer;
      } catch (error) {
        if (error instanceof ServiceFailure) fail(asker, error);
        else close();
        throw new LatchkeyError('credentials_unavailable', { cause: error });
      } finally {
        probes.delete(asker);
      }
    },
  };
}

/** Failures in a row. Bounded: of users and addresses it is enough to know that there are several. */
function newEvidence() {
  const [users, addresses] = [new Set<string>(), new Set<string>()];
  let failures = 0;
  let forEverybody = 0;
  return {
    add({ user, address }: Asker, { isForEverybody }: ServiceFailure): void {
      failures += 1;
      if (isForEverybody) forEverybody += 1;
      if (users.size < SEVERAL) users.add(user);
      if (addresses.size < SEVERAL) addresses.add(address);
    },
    isOutage(): boolean {
      const isOfSeveral = users.size >= SEVERAL && addresses.size >= SEVERAL;
      return forEverybody >= FAILURES_TO_OPEN || (isOfSeveral && failures >= FAILURES_TO_OPEN);
    },
  };
}
