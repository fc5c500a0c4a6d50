/** A certificate that nobody trusts, made when it is needed: no key of a test lies in the repository. */
import { generateKeyPairSync, sign } from 'node:crypto';

/** One value in DER (X.690 section 8.1): its tag, its length, and what it holds. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}
const sequence = (...parts: Buffer[]): Buffer => der(0x30, ...parts);
const identifier = (...bytes: number[]): Buffer => der(0x06, Buffer.from(bytes));
const utcTime = (text: string): Buffer => der(0x17, Buffer.from(text));

function nameOf(commonName: string): Buffer {
  return sequence(der(0x31, sequence(identifier(0x55, 0x04, 0x03), der(0x0c, Buffer.from(commonName)))));
}

/**
 * For `localhost`, in PEM: X.509 version 1 (RFC 5280 section 4.1) with an Ed25519 key (RFC 8410).
 * @param issuer who is said to have signed it, which the certificate itself has
 */
export function untrustedCertificate(issuer = 'localhost'): { readonly cert: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const algorithm = sequence(identifier(0x2b, 0x65, 0x70));
  const validity = sequence(utcTime('200101000000Z'), utcTime('491231235959Z'));
  const publicPart = publicKey.export({ type: 'spki', format: 'der' });
  const names = [nameOf(issuer), validity, nameOf('localhost')];
  const toBeSigned = sequence(der(0x02, Buffer.from([1])), algorithm, ...names, publicPart);
  const signature = der(0x03, Buffer.from([0]), sign(null, toBeSigned, privateKey));
  const text = sequence(toBeSigned, algorithm, signature).toString('base64');
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}
