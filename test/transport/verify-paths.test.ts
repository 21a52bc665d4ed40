import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import { createCa } from '@cloudlane/testing';
import { TlsError, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { closeAfterTest } from '../support/resources.ts';
import { ca, certificate, failureOf, newTransport, origin, proxy } from './lab.ts';

const other = await createCa();

/** A directory with these files; a text that starts with `->` is a link. */
async function directory(files: Readonly<Record<string, string>>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cloudlane-verify-'));
  closeAfterTest({ [Symbol.asyncDispose]: () => rm(path, { recursive: true }) });
  for (const [name, content] of Object.entries(files)) {
    if (content.startsWith('->')) await symlink(content.slice(2), join(path, name));
    else await writeFile(join(path, name), content);
  }
  return path;
}

async function ask(verify: string, request: Partial<TransportRequest> = {}): Promise<string> {
  const server = await origin('https');
  const response = await newTransport().send({ url: server.url, http_proxy: null, tls: { verify }, ...request });
  return text(response.body);
}

const noise = {
  'README.txt': 'not a certificate',
  'revoked.r0': '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n',
  'key.pem': certificate.key.toString(),
  dangling: '->nowhere',
} as const;

describe('verify as the path of a directory', () => {
  test.each<[string, Readonly<Record<string, string>>]>([
    ['a file', { 'ca.pem': ca.certificate }],
    ['a file among others', { ...noise, 'a.pem': other.certificate, 'z.crt': ca.certificate }],
    ['a file of several', { 'bundle.pem': `# both\n${other.certificate}\n${ca.certificate}` }],
    ['files of several names', { 'ca.pem': ca.certificate, '0a1b2c3d.0': '->ca.pem', 'copy.pem': ca.certificate }],
    ['a file without an end to its last line', { 'ca.pem': ca.certificate.trimEnd(), 'b.pem': other.certificate }],
    ['a file with the line ends of Windows', { 'ca.pem': ca.certificate.replaceAll('\n', '\r\n') }],
  ])('trusts the authority in %s', async (_, files) => {
    expect(await ask(await directory(files))).toContain('"method":"GET"');
  });

  test('follows links to files elsewhere', async () => {
    const elsewhere = await directory({ 'ca.pem': ca.certificate });
    expect(await ask(await directory({ '0a1b2c3d.0': `->${join(elsewhere, 'ca.pem')}` }))).toContain('"method":"GET"');
    const link = join(await directory({}), 'certs');
    await symlink(elsewhere, link);
    expect(await ask(link)).toContain('"method":"GET"');
  });

  test('trusts nobody else', async () => {
    const path = await directory({ ...noise, 'ca.pem': other.certificate });
    await mkdir(join(path, 'deeper.pem'));
    await writeFile(join(path, 'deeper.pem', 'ca.pem'), ca.certificate);
    expect(await failureOf(ask(path), TlsError)).toMatchObject({ phase: 'origin-tls' });
  });

  test('holds for https proxies as well', async () => {
    const [server, through] = [await origin(), await proxy('https')];
    const own = { url: server.url, http_proxy: through.url };
    const path = await directory({ 'ca.pem': ca.certificate });
    const transport = newTransport({ proxyTls: { verify: path } });
    expect(await text((await transport.send(own)).body)).toContain('"method":"GET"');
  });
});

describe('verify as a path is refused', () => {
  test.each<[string, Readonly<Record<string, string>>, string]>([
    ['with no file', {}, 'holds no PEM certificate'],
    ['with no certificate', noise, 'holds no PEM certificate'],
  ])('of a directory %s', async (_, files, reason) => {
    const error = await failureOf(ask(await directory(files)), InvalidOptionError);
    expect(error).toMatchObject({ option: 'tls.verify' });
    expect(error.message).toContain(reason);
    expect(error.message).toContain('of a PEM file or of a directory of them');
  });

  test.each<[string, string, string]>([
    ['without a certificate', 'README.txt', 'holds no PEM certificate'],
    ['that is not there', 'missing.pem', 'cannot be read'],
    ['that leads nowhere', 'dangling', 'cannot be read'],
  ])('of a file %s', async (_, name, reason) => {
    const error = await failureOf(ask(join(await directory(noise), name)), InvalidOptionError);
    expect(error).toMatchObject({ option: 'tls.verify' });
    expect(error.message).toContain(reason);
  });
});
