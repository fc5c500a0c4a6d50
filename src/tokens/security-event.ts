/**
 * Owns how an event is written as a Security Event Token (RFC 8417), signed with the key of the access tokens. Must not
 * know where it is sent. All but the signature is pure.
 */
import { hash } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { endsToken } from '../contract/event-types.ts';
import type { Event } from '../contract/events.ts';
import type { ActorKind } from '../domain/token.ts';
import type { ResetReason } from './feed.ts';
import type { Signing } from './signing.ts';

/** Media type of RFC 8417 section 7.2, in the short form of the header (section 2.3). */
const SECURITY_EVENT_TYPE = 'secevent+jwt';

/** OpenID Continuous Access Evaluation Profile 1.0, section 3.1. */
const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';

/** CAEP section 2: who set it going. A login ends other tokens by a policy. */
const INITIATOR: Readonly<Record<ActorKind, string>> = {
  login: 'policy',
  admin: 'admin',
  user: 'user',
  system: 'system',
};

/** What a SET says, whoever it is sent to. */
export type SecurityEvent = {
  /** For deduplication: the same for every attempt. */
  readonly jti: string;
  readonly claims: JWTPayload;
};

export type SecurityEvents = {
  of(event: Event): SecurityEvent;
  /** That events were missed: what the receiver knows may be out of date from here back. */
  ofReset(reset: { readonly tenant: string; readonly reason: ResetReason; readonly cursor: string }): SecurityEvent;
  /** @param at when it is sent, unix ms */
  sign(event: SecurityEvent, audience: string, at: number): Promise<string>;
};

export function createSecurityEvents(signing: Signing, issuer: string): SecurityEvents {
  const signClaims = signing.forType(SECURITY_EVENT_TYPE);
  return {
    of(event) {
      const toe = Math.floor(Date.parse(event.at) / 1000);
      return { jti: event.id, claims: { toe, sub_id: subjectOf(event, issuer), events: eventsOf(event, toe) } };
    },

    ofReset({ tenant, reason, cursor }) {
      const claims = {
        sub_id: subjectOf({ tenant }, issuer),
        events: { 'urn:latchkey:event:feed.reset': { reason } },
      };
      return { jti: `reset-${hash('sha256', `${tenant} ${cursor}`, 'base64url').slice(0, 22)}`, claims };
    },

    sign({ jti, claims }, audience, at) {
      return signClaims({ ...claims, iss: issuer, aud: audience, jti, iat: Math.floor(at / 1000) });
    },
  };
}

/** RFC 9493, and the complex subject of the OpenID Shared Signals Framework 1.0, section 3.3. */
function subjectOf({ tenant, userId, tokenId }: Pick<Event, 'tenant' | 'userId' | 'tokenId'>, issuer: string): object {
  return {
    format: 'complex',
    tenant: { format: 'opaque', id: tenant },
    ...(userId !== undefined && { user: { format: 'iss_sub', iss: issuer, sub: userId } }),
    ...(tokenId !== undefined && { session: { format: 'opaque', id: tokenId } }),
  };
}

/** RFC 8417 section 2.2: several statements about one event, each under the URI that says how it reads. */
function eventsOf(event: Event, toe: number): Record<string, object> {
  return {
    [`urn:latchkey:event:${event.type}`]: event,
    ...(endsToken(event.type) && { [SESSION_REVOKED]: sessionRevoked(event, toe) }),
  };
}

function sessionRevoked({ by }: Event, toe: number): object {
  return {
    event_timestamp: toe,
    ...(by && { initiating_entity: INITIATOR[by.kind] }),
    ...(by?.reason && { reason_admin: { en: by.reason } }),
  };
}
