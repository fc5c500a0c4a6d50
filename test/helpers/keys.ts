/** The keys and secrets of every Latchkey that a test starts, in this process or in one of its own. */
export const ADMIN_KEY = 'admin-key-of-the-tests-0123456789abcdef';
export const GATEWAY_KEY = 'gateway-key-of-the-tests-0123456789abcdef';
export const REFRESH_SECRET = 'refresh-secret-of-the-tests-0123456789abcdef';

/** Tests log in faster than people do: only those on throttling have its real figures. */
export const NO_THROTTLE = {
  THROTTLE_USER_FAILURES: '0',
  THROTTLE_ADDRESS_FAILURES: '0',
  THROTTLE_USER_LOGINS: '0',
  THROTTLE_ADDRESS_LOGINS: '0',
};
