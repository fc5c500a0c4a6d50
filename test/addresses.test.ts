/** How addresses are read: one spelling, one network a client, and what lies in the public internet. */
import { describe, expect, it } from '@jest/globals';
import { createNetworkList, isNetworkName, isPublicAddress, networkOf, normalAddress } from '../src/addresses.ts';

describe('F16 an address has one normal form', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:0201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['64:ff9b::192.0.2.1', '192.0.2.1'],
    ['64:FF9B:0::c000:201', '192.0.2.1'],
    // Of the local-use prefix (RFC 8215) nobody outside knows where in it the IPv4 address stands.
    ['64:ff9b:1::c000:201', '64:ff9b:1::c000:201'],
    ['2001:0DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::', '::'],
    ['::0.0.0.1', '::1'],
    ['::192.0.2.1', '::c000:201'],
  ])('%s is %s', (text, normal) => expect(normalAddress(text)).toBe(normal));

  it.each([
    '',
    'x',
    '1',
    '0x7f.1',
    '010.0.0.1',
    '192.0.2',
    '192.0.2.256',
    '192.0.2.1 ',
    'fe80::1%eth0',
    '1:2',
    '[::1]',
  ])('"%s" is none', (text) => expect(normalAddress(text)).toBeUndefined());
});

describe('F16 what counts as one client', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::', '2001:db8:1:2'],
    ['2001:0DB8:0001:0002::9', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['2001:db8:0:0:1::', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['64:ff9b::192.0.2.1', '192.0.2.1'],
    ['64:ff9b::c000:202', '192.0.2.2'],
    ['', ''],
  ])('the network of %s is %s', (address, network) => expect(networkOf(address)).toBe(network));
});

describe('F16 the networks of a setting', () => {
  it.each([
    { names: ['10.0.0.0/8'], inside: ['10.1.2.3', '::ffff:10.1.2.3', '::ffff:a01:203'], outside: ['11.0.0.1', '::1'] },
    { names: ['::ffff:10.0.0.0/104'], inside: ['10.1.2.3', '::ffff:a01:203'], outside: ['11.0.0.1'] },
    { names: ['::ffff:c000:201'], inside: ['192.0.2.1'], outside: ['192.0.2.2'] },
    { names: ['loopback'], inside: ['127.0.0.9', '::1', '::ffff:127.0.0.1'], outside: ['128.0.0.1', '::2'] },
    {
      names: ['linklocal', 'uniquelocal'],
      inside: ['169.254.1.1', 'fe80::1', '172.31.0.1', 'fd00::1'],
      outside: ['172.32.0.1', '8.8.8.8'],
    },
    { names: ['64:ff9b::/96'], inside: ['64:ff9b::a01:203'], outside: ['10.1.2.3', '::ffff:10.1.2.3'] },
    { names: ['0.0.0.0/1', '128.0.0.0/1'], inside: ['192.0.2.1'], outside: ['2001:db8::1', 'unknown', ''] },
  ])('$names', ({ names, inside, outside }) => {
    const isIn = createNetworkList(names);
    expect(inside.filter((address) => !isIn(address))).toEqual([]);
    expect(outside.filter((address) => isIn(address))).toEqual([]);
  });

  it.each(['', 'toString', '10.0.0.0/0', '10.0.0.0/33', '10.0.0.0/8/8', '10.0.0.0/', '::1/129', 'proxy.example', '1'])(
    '"%s" names none',
    (name) => expect(isNetworkName(name)).toBe(false),
  );
});

describe('F16 what is public', () => {
  it.each(['8.8.8.8', '::ffff:8.8.8.8', '64:ff9b::808:808', '2606:4700::1111'])('%s is', (address) =>
    expect(isPublicAddress(address)).toBe(true),
  );

  it.each([
    '127.0.0.1',
    '0.0.0.0',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.169.254',
    '192.0.2.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '240.0.0.1',
    '::ffff:7f00:1',
    '::127.0.0.1',
    '::7f00:1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::808:808',
    '2002:7f00:1::',
    '2001::1',
    '2001:db8::1',
    '::1',
    '::',
    'fe80::1',
    'fe80::1%eth0',
    'fc00::1',
    'fec0::1',
    'ff02::1',
    '4000::1',
    '',
    'localhost',
  ])('"%s" is not', (address) => expect(isPublicAddress(address)).toBe(false));
});
