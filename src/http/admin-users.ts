/**
 * Owns the admin calls on users: create, list, get, change, delete, and lift the locks of the throttle.
 */
import { z } from 'zod';
import { revokedResult } from '../contract/answers.ts';
import {
  blocksResult,
  changeUserResult,
  locksResult,
  userDetailSchema,
  userSchema,
  usersResult,
} from '../contract/user-answers.ts';
import {
  changeUserRequest,
  createUserRequest,
  listUsersQuery,
  tenantQuery,
  userIdSchema,
} from '../contract/messages.ts';
import type { Lock, UserRecord } from '../tokens/store.ts';
import type { Users } from '../tokens/users.ts';
import { timeView } from '../tokens/views.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

const userParams = z.object({ userId: userIdSchema });
const one = '/admin/users/:userId';

const PAGE_ORDER =
  'In the order of the userIds by code points. `next` is there while more may follow, even from a page that is not full.';

/** @param now time that decides whether a block still holds */
export function adminUserEndpoints(users: Users, now: () => number): Endpoint[] {
  return [
    endpoint({
      method: 'post',
      path: '/admin/users',
      operationId: 'createUser',
      tag: 'admin',
      summary: 'Create a user with a password',
      caller: 'admin',
      query: tenantQuery,
      body: createUserRequest,
      responses: { 201: { description: 'Created.', body: userSchema } },
      errors: ['already_exists', 'overloaded'],
      async handle({ query, body }) {
        const user = await users.create({ tenant: query.tenant, userId: body.userId }, body.password);
        return { status: 201, body: userView(user, now()) };
      },
    }),
    endpoint({
      method: 'get',
      path: '/admin/users',
      operationId: 'listUsers',
      tag: 'admin',
      summary: 'The users of a tenant, a page at a time',
      caller: 'admin',
      query: listUsersQuery,
      responses: {
        200: { description: PAGE_ORDER, body: usersResult },
      },
      errors: [],
      async handle({ query: { tenant, after, limit } }) {
        const page = await users.list({ tenant, after, limit });
        return { status: 200, body: { users: page.users.map((user) => userView(user, now())), next: page.next } };
      },
    }),
    endpoint({
      method: 'get',
      path: '/admin/blocks',
      operationId: 'listBlocks',
      tag: 'admin',
      summary: 'The blocked users of a tenant, a page at a time',
      caller: 'admin',
      query: listUsersQuery,
      responses: { 200: { description: `Users whose block holds. ${PAGE_ORDER}`, body: blocksResult } },
      errors: [],
      async handle({ query: { tenant, after, limit } }) {
        const page = await users.blocked({ tenant, after, limit });
        return { status: 200, body: { blocks: page.users.map((user) => userView(user, now())), next: page.next } };
      },
    }),
    endpoint({
      method: 'get',
      path: one,
      operationId: 'getUser',
      tag: 'admin',
      summary: 'One user, and who is kept out for failed passwords',
      caller: 'admin',
      params: userParams,
      query: tenantQuery,
      responses: { 200: { description: 'The user.', body: userDetailSchema } },
      errors: ['not_found'],
      async handle({ params, query }) {
        const { user, locks } = await users.get({ ...query, ...params });
        return { status: 200, body: { ...userView(user, now()), locks: locks.map(lockView) } };
      },
    }),
    endpoint({
      method: 'patch',
      path: one,
      operationId: 'changeUser',
      tag: 'admin',
      summary: 'Set a new password, block or unblock; a new password or a block ends every token of the user',
      caller: 'admin',
      params: userParams,
      query: tenantQuery,
      body: changeUserRequest,
      responses: { 200: { description: 'The user, and the tokens that this ended.', body: changeUserResult } },
      errors: ['not_found', 'overloaded'],
      async handle({ params, query, body: { password, blocked } }) {
        const { user, ended } = await users.change(
          { ...query, ...params },
          {
            ...(password !== undefined && { password }),
            ...(blocked !== undefined && { block: blocked && toBlock(blocked) }),
          },
        );
        return { status: 200, body: { user: userView(user, now()), revoked: ended } };
      },
    }),
    endpoint({
      method: 'delete',
      path: one,
      operationId: 'deleteUser',
      tag: 'admin',
      summary: 'Delete a user and end every token of the user',
      caller: 'admin',
      params: userParams,
      query: tenantQuery,
      responses: { 200: { description: 'The tokens that this ended.', body: revokedResult } },
      errors: ['not_found'],
      async handle({ params, query }) {
        return { status: 200, body: { revoked: await users.remove({ ...query, ...params }) } };
      },
    }),
    endpoint({
      method: 'delete',
      path: `${one}/locks`,
      operationId: 'liftLocks',
      tag: 'admin',
      summary: 'Lift the locks that failed passwords led to, also of a name without a record',
      caller: 'admin',
      params: userParams,
      query: tenantQuery,
      responses: {
        200: { description: 'The locks that this lifted; failures and attempts are forgotten.', body: locksResult },
      },
      errors: [],
      async handle({ params, query }) {
        return { status: 200, body: { lifted: (await users.liftLocks({ ...query, ...params })).map(lockView) } };
      },
    }),
  ];
}

function toBlock({ until, reason }: { readonly until?: string | undefined; readonly reason?: string | undefined }) {
  // 0 is a block without an end, which no date of the past must become.
  return {
    ...(until !== undefined && { until: Math.max(1, Date.parse(until)) }),
    ...(reason !== undefined && { reason }),
  };
}

function userView(user: UserRecord, now: number) {
  const { tenant, userId, createdAt, passwordHash, block } = user;
  const holds = block !== undefined && (block.until === null || block.until > now);
  return {
    tenant,
    userId,
    createdAt: timeView(createdAt),
    hasPassword: passwordHash !== undefined,
    ...(holds && {
      blocked: {
        at: timeView(block.at),
        ...(block.until !== null && { until: timeView(block.until) }),
        ...(block.reason !== undefined && { reason: block.reason }),
      },
    }),
  };
}

function lockView({ by, network, until, failures }: Lock) {
  return { by, ...(network !== undefined && { network }), until: timeView(until), failures };
}
