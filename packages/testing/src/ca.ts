import { createHash, generateKeyPair, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import { addressBytes } from './address.ts';
import { bits, element, integer, octets, oid, sequence, set, time, truth, utf8 } from './der.ts';

/** What a certificate of the lab is for. */
export interface CertificateRequest {
  /** DNS names and IP addresses (IPv6 without brackets), each a subject alternative name; the first is also the common name. */
  readonly names: readonly string[];
  /** @defaultValue one hour ago */
  readonly notBefore?: Date;
  /** A date in the past makes an expired certificate. @defaultValue in one day */
  readonly notAfter?: Date;
  /** For TLS clients instead of TLS servers. @defaultValue false */
  readonly client?: boolean;
}

/** A certificate and its private key, both PEM: what `tls` options take. */
export interface IssuedCertificate {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority that lives as long as the process and that nobody trusts unless told to. */
export interface LabCa {
  /** The authority's own certificate, PEM: what a client passes as `ca`. */
  readonly certificate: string;
  issue(request: CertificateRequest): Promise<IssuedCertificate>;
}

const HOUR = 3_600_000;
const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const newKeyPair = promisify(generateKeyPair);

/** A new authority with a P-256 key. Takes a few milliseconds, so each test file can have its own. */
export async function createCa(): Promise<LabCa> {
  const keys = await newKeyPair('ec', { namedCurve: 'P-256' });
  // A name of its own: two authorities of one process must not be taken for each other.
  const issuer = `Cloudlane lab ${randomBytes(4).toString('hex')}`;
  const certificate = certify({
    subject: issuer,
    issuer,
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + 24 * HOUR),
    subjectKey: keys.publicKey,
    issuerKeys: keys,
    extensions: [
      extension('2.5.29.19', sequence(truth()), { critical: true }), // basicConstraints: CA
      extension('2.5.29.15', bits(Buffer.from([0x06]), 1), { critical: true }), // keyUsage: keyCertSign, cRLSign
    ],
  });
  return {
    certificate,
    issue: (request) => issue(request, issuer, keys),
  };
}

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Certificate {
  readonly subject: string;
  readonly issuer: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly subjectKey: KeyObject;
  readonly issuerKeys: KeyPair;
  readonly extensions: readonly Buffer[];
}

async function issue(request: CertificateRequest, issuer: string, issuerKeys: KeyPair): Promise<IssuedCertificate> {
  const [subject] = request.names;
  if (subject === undefined) throw new TypeError('a certificate needs at least one name');
  const keys = await newKeyPair('ec', { namedCurve: 'P-256' });
  const cert = certify({
    subject,
    issuer,
    notBefore: request.notBefore ?? new Date(Math.min(Date.now(), request.notAfter?.getTime() ?? Date.now()) - HOUR),
    notAfter: request.notAfter ?? new Date(Date.now() + 24 * HOUR),
    subjectKey: keys.publicKey,
    issuerKeys,
    extensions: [
      extension('2.5.29.19', sequence(), { critical: true }), // basicConstraints: not a CA
      extension('2.5.29.15', bits(Buffer.from([0x80]), 7), { critical: true }), // keyUsage: digitalSignature
      extension('2.5.29.37', sequence(oid(request.client ? '1.3.6.1.5.5.7.3.2' : '1.3.6.1.5.5.7.3.1'))), // extKeyUsage
      extension('2.5.29.17', sequence(...request.names.map(generalName))), // subjectAltName
    ],
  });
  return { cert, key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** RFC 5280 §4.1: the body, signed. */
function certify(certificate: Certificate): string {
  const spki = certificate.subjectKey.export({ type: 'spki', format: 'der' });
  const extensions = [
    ...certificate.extensions,
    extension('2.5.29.14', octets(keyId(certificate.subjectKey))), // subjectKeyIdentifier
    extension('2.5.29.35', sequence(element(0x80, keyId(certificate.issuerKeys.publicKey)))), // authorityKeyIdentifier
  ];
  const body = sequence(
    element(0xa0, integer(Buffer.from([2]))), // version 3
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_SHA256,
    commonName(certificate.issuer),
    sequence(time(certificate.notBefore), time(certificate.notAfter)),
    commonName(certificate.subject),
    spki,
    element(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', body, certificate.issuerKeys.privateKey);
  const base64 = sequence(body, ECDSA_SHA256, bits(signature)).toString('base64');
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
}

function extension(id: string, value: Buffer, { critical = false } = {}): Buffer {
  return sequence(oid(id), ...(critical ? [truth()] : []), octets(value));
}

function commonName(name: string): Buffer {
  return sequence(set(sequence(oid('2.5.4.3'), utf8(name))));
}

function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

/** RFC 5280 §4.2.1.6: an address is its 4 or 16 bytes, never its text. */
function generalName(name: string): Buffer {
  return isIP(name) ? element(0x87, addressBytes(name)) : element(0x82, Buffer.from(name, 'latin1'));
}
