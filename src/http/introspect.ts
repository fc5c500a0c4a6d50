/**
 * Owns what gateways ask by RFC: introspection (7662) and revocation (7009).
 */
import { introspectionResult } from '../contract/answers.ts';
import { introspectForm, revokeForm } from '../contract/messages.ts';
import type { SignOut } from '../tokens/sign-out.ts';
import type { Judge, Verdict } from '../tokens/verdict.ts';
import { timeView } from '../tokens/views.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

/** @param withReasons whether inactive answers say why (INTROSPECTION_REASONS) */
export function introspectEndpoints(judge: Judge, signOut: SignOut, withReasons: boolean): Endpoint[] {
  return [
    endpoint({
      method: 'post',
      path: '/introspect',
      operationId: 'introspect',
      tag: 'gateways',
      summary: 'Is this access token good? (RFC 7662)',
      caller: 'gateway',
      hot: true,
      body: introspectForm,
      bodyType: 'form',
      unknownInput: 'ignored',
      responses: { 200: { description: 'A verdict, good or bad.', body: introspectionResult } },
      errors: [],
      async handle({ body }) {
        const verdict = await judge(body.token, body.tenant);
        return { status: 200, body: verdict.active ? activeView(verdict) : inactiveView(verdict, withReasons) };
      },
    }),
    endpoint({
      method: 'post',
      path: '/revoke',
      operationId: 'revokeByToken',
      tag: 'gateways',
      summary: 'End the token behind an access token, past its exp too, or a refresh token (RFC 7009)',
      caller: 'gateway',
      body: revokeForm,
      bodyType: 'form',
      unknownInput: 'ignored',
      responses: { 200: { description: 'It is not active now, whatever it was.' } },
      errors: [],
      async handle({ body }) {
        await signOut.revokeByToken(body.token);
        return { status: 200 };
      },
    }),
  ];
}

function activeView({ claims }: Verdict & { active: true }) {
  return { active: true, token_type: 'Bearer', ...claims };
}

function inactiveView({ reason, end }: Verdict & { active: false }, withReasons: boolean) {
  if (!withReasons) return { active: false };
  return { active: false, reason, ...(end && { endedAt: timeView(end.at), endedBy: end.by }) };
}
