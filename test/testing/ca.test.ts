import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { type ConnectionOptions, connect } from 'node:tls';
import { type CertificateRequest, createCa, type LabCa, type LabHost, startOrigin } from '@cloudlane/testing';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';

let ca: LabCa;

beforeAll(async () => {
  ca = await createCa();
});

/** 'trusted', or the code of the error. */
async function shakeHands(request: CertificateRequest, options: ConnectionOptions, host: LabHost = '127.0.0.1') {
  const origin = await use(startOrigin({ tls: await ca.issue(request), host }));
  const socket = connect({ host, port: origin.port, ...options });
  try {
    await once(socket, 'secureConnect');
    return 'trusted';
  } catch (error) {
    return Object(error).code;
  } finally {
    socket.destroy();
  }
}

describe('a certificate of the lab', () => {
  const names = ['127.0.0.1', 'origin.example', '*.wild.example'];

  test.each([
    ['by address', {}],
    ['by name', { servername: 'origin.example' }],
    ['by wildcard', { servername: 'a.wild.example' }],
  ])('is trusted by a client that trusts the authority, %s', async (_, options) => {
    expect(await shakeHands({ names }, { ca: ca.certificate, ...options })).toBe('trusted');
  });

  test('is good for an IPv6 address', async () => {
    expect(
      await shakeHands({ names: ['::1'] }, { ca: ca.certificate, checkServerIdentity: () => undefined }, '::1'),
    ).toBe('trusted');
    const { cert } = await ca.issue({ names: ['2001:db8::5:1', '::1', '::ffff:127.0.0.1'] });
    const parsed = new X509Certificate(cert);
    expect(parsed.subjectAltName).toBe(
      'IP Address:2001:DB8:0:0:0:0:5:1, IP Address:0:0:0:0:0:0:0:1, IP Address:0:0:0:0:0:FFFF:7F00:1',
    );
  });

  test('is not trusted by a client that does not know the authority', async () => {
    const other = await createCa();
    expect(await shakeHands({ names }, {})).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(await shakeHands({ names }, { ca: other.certificate })).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });

  test('is refused once expired, before it is valid, and for another name', async () => {
    const trust = { ca: ca.certificate };
    const hour = 3_600_000;
    expect(await shakeHands({ names, notAfter: new Date(Date.now() - hour) }, trust)).toBe('CERT_HAS_EXPIRED');
    expect(await shakeHands({ names, notBefore: new Date(Date.now() + hour) }, trust)).toBe('CERT_NOT_YET_VALID');
    expect(await shakeHands({ names: ['other.example'] }, trust)).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  test('for a client is not good for a server', async () => {
    expect(await shakeHands({ names, client: true }, { ca: ca.certificate })).toBe('INVALID_PURPOSE');
  });

  test('is signed by the authority, and the authority by itself', async () => {
    const authority = new X509Certificate(ca.certificate);
    const { cert, key } = await ca.issue({ names, notAfter: new Date('2055-06-01T12:00:00Z') });
    const issued = new X509Certificate(cert);
    expect(authority.ca).toBe(true);
    expect(authority.verify(authority.publicKey)).toBe(true);
    expect(issued.ca).toBe(false);
    expect(issued.verify(authority.publicKey)).toBe(true);
    expect(issued.checkIssued(authority)).toBe(true);
    expect(new Date(issued.validTo)).toEqual(new Date('2055-06-01T12:00:00Z'));
    expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----/);
  });

  test('needs a name', async () => {
    await expect(ca.issue({ names: [] })).rejects.toThrow('at least one name');
  });
});

describe('a client certificate', () => {
  test('is recorded by an origin that asks, which turns away whom it does not know', async () => {
    const tls = {
      ...(await ca.issue({ names: ['127.0.0.1'] })),
      clientCa: ca.certificate,
      requireClientCertificate: true,
    };
    const origin = await use(startOrigin({ tls }));
    const mine = await ca.issue({ names: ['client.example'], client: true });
    const known = connect({ host: origin.host, port: origin.port, ca: ca.certificate, ...mine });
    known.write('GET / HTTP/1.1\r\nHost: o\r\n\r\n');
    await origin.waitForRequests(1);
    expect(origin.requests[0]?.clientCertificate).toBe('client.example');
    known.destroy();

    const unknown = connect({ host: origin.host, port: origin.port, ca: ca.certificate }).resume();
    const [error] = await once(unknown, 'error');
    expect(error).toMatchObject({ code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' });
    expect(origin.requests).toHaveLength(1);
  });
});
