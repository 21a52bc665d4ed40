// A server's certificate that no authority has signed.
import { generateKeyPairSync, sign } from 'node:crypto';
import type { IssuedCertificate } from '@cloudlane/testing';
import { bits, element, integer, octets, oid, sequence, set, time, utf8 } from '../../packages/testing/src/der.ts';

/** A certificate for 127.0.0.1, signed with its own key (RFC 5280 §4.1). */
export function selfSigned(): IssuedCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(oid('1.2.840.10045.4.3.2')); // ecdsa-with-SHA256
  const name = sequence(set(sequence(oid('2.5.4.3'), utf8('127.0.0.1')))); // commonName
  const address = element(0x87, Buffer.from([127, 0, 0, 1]));
  const body = sequence(
    element(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.from([1])),
    algorithm,
    name,
    sequence(time(new Date(Date.now() - 3_600_000)), time(new Date(Date.now() + 3_600_000))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    element(0xa3, sequence(sequence(oid('2.5.29.17'), octets(sequence(address))))), // subjectAltName
  );
  const der = sequence(body, algorithm, bits(sign('sha256', body, privateKey)));
  const cert = `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
