/**
 * Owns how openapi.yaml tells of the calls that Latchkey makes itself: events to a tenant's webhook. Must not know how they
 * are delivered.
 */

/** OpenAPI 3.1, field `webhooks`. RFC 8935 section 2. */
export const OUTGOING_CALLS = {
  securityEvent: {
    post: {
      operationId: 'securityEvent',
      tags: ['gateways'],
      summary: 'An event of a tenant, to the address in its rules: in order per user, at least once',
      security: [{}],
      requestBody: {
        required: true,
        content: {
          'application/secevent+jwt': {
            schema: {
              type: 'string',
              description:
                'A Security Event Token (RFC 8417), signed with a key of `/.well-known/jwks.json`, `typ` `secevent+jwt`. ' +
                'Claims: `iss`, `aud` (the address), `iat` (when it was sent; allow a minute of leeway), `jti` (the id of the event, for deduplication), `toe`, `sub_id` (RFC 9493), ' +
                'and `events`: an Event under `urn:latchkey:event:<type>`, one that ends a token also `session-revoked` of CAEP; ' +
                '`urn:latchkey:event:feed.reset` says that events were missed.',
            },
          },
        },
      },
      responses: {
        '202': { description: 'Taken; any other 2xx is as good.' },
        '400': {
          description:
            'With `{"err":"invalid_request"}` refused for good: it is not sent again, and the next one comes. Otherwise as any ' +
            'other status.',
        },
        '410': { description: 'Nothing is sent for an hour.' },
        default: { description: 'Not now: it is sent again, later and later; `Retry-After` in seconds is honoured.' },
      },
    },
  },
} as const;
