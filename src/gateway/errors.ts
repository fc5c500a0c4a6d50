/**
 * Owns the ways in which a checker fails that are no verdict.
 */

/** It cannot be known whether a token is good: answer 503, never 401. */
export class GatewayUnavailableError extends Error {
  override readonly name: string = 'GatewayUnavailableError';
  readonly retryAfterSeconds: number;

  constructor(message: string, { cause, retryAfterSeconds = 1 }: { cause?: unknown; retryAfterSeconds?: number } = {}) {
    super(message, { cause });
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Latchkey does not take the gateway key. No retry helps; every check fails until the key is right. */
export class GatewayKeyRefusedError extends GatewayUnavailableError {
  override readonly name = 'GatewayKeyRefusedError';

  constructor() {
    super('Latchkey refuses this gateway key');
  }
}

/** Who answers is the Latchkey of another issuer than the option `issuer` says. Every check fails until one of them is right. */
export class GatewayIssuerError extends GatewayUnavailableError {
  override readonly name = 'GatewayIssuerError';

  constructor(url: string, found: string, expected: string) {
    super(
      `${url} is Latchkey for the issuer ${JSON.stringify(found)}; the option issuer says ${JSON.stringify(expected)}`,
    );
  }
}
