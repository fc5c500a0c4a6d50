/**
 * express-session with connect-redis as its documentation sets it up: a session check behind a cookie, the least that an
 * app does with one.
 */
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { createClient } from 'redis';

const client = createClient({ url: `redis://127.0.0.1:${process.env.REDIS_PORT}` });
await client.connect();

const app = express();
app.use(
  session({
    store: new RedisStore({ client, prefix: 'session:' }),
    secret: process.env.CLIENT_SECRET,
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 900_000 },
  }),
);
app.post('/login/:userId', (request, response) => {
  request.session.userId = request.params.userId;
  response.json({});
});
app.get('/check', (request, response) => {
  const { userId } = request.session;
  if (userId === undefined) return response.status(401).end();
  return response.set('X-Auth-User', userId).end();
});
app.listen(Number(process.env.PORT), '127.0.0.1');
