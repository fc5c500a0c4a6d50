/**
 * Owns that what is sent to an address which others have set stays in the public internet. The address that is connected to
 * is what counts: a name is looked up once for each connection, and what it leads to is checked on the way there, so a name
 * that changes in between (DNS rebinding) gains nothing. Must not know what is sent.
 */
import { lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { isPublicAddress } from '../addresses.ts';
import { OutboundError } from './trouble.ts';

/** Answers only the addresses of a name that are public; for a name that has none it fails with `private_address`. */
export function publicLookup(lookup: LookupFunction = systemLookup): LookupFunction {
  return (name, options, done) => {
    lookup(name, { ...options, all: true }, (error, found) => {
      const addresses = typeof found === 'string' ? [{ address: found, family: isIP(found) }] : (found ?? []);
      const open = addresses.filter(({ address }) => isPublicAddress(address));
      const [first] = open;
      if (error) done(error, []);
      else if (first === undefined) done(new OutboundError('private_address'), []);
      else if (options.all) done(null, open);
      else done(null, first.address, first.family);
    });
  };
}

/** An address in the place of a name is never looked up. The URL has it in normal form, however it was written. */
export function assertPublicHost(url: string): void {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw new OutboundError('private_address');
}
