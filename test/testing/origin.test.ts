import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { inspect } from 'node:util';
import { createCa, credentialLeaks, forgetCredentialLeaks, startOrigin } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

describe('an origin', () => {
  test('records a request as it was on the wire and echoes it', async () => {
    const origin = await use(startOrigin());
    const wire = await use(Wire.to(origin));
    wire.send(
      'POST /a/../b?c=%20 HTTP/1.1',
      'Host: o.example',
      'X-Two: 1',
      'x-two: 2',
      'Content-Length: 5',
      '',
      'hello',
    );
    expect(await wire.until(/\}$/)).toContain('"target":"/a/../b?c=%20"');
    expect(wire.text).toContain('"body":"hello","bytes":5');
    expect(origin.requests).toHaveLength(1);
    expect(origin.requests[0]).toMatchObject({
      method: 'POST',
      target: '/a/../b?c=%20',
      rawHeaders: ['Host', 'o.example', 'X-Two', '1', 'x-two', '2', 'Content-Length', '5'],
      headers: { host: 'o.example', 'x-two': '1, 2' },
      body: Buffer.from('hello'),
      complete: true,
      connection: 1,
      servername: null,
      remoteAddress: '127.0.0.1',
    });
  });

  test('numbers connections and knows which are open', async () => {
    const origin = await use(startOrigin());
    const first = await use(Wire.to(origin));
    await first.send('GET /1 HTTP/1.1', '').until(/\}$/);
    const second = await use(Wire.to(origin));
    await second.send('GET /2 HTTP/1.1', '').until(/\}$/);
    await first.send('GET /3 HTTP/1.1', '').until(/\/3.*\}$/);
    expect(origin.requests.map(({ target, connection }) => [target, connection])).toEqual([
      ['/1', 1],
      ['/2', 2],
      ['/3', 1],
    ]);
    expect([origin.connectionCount, origin.openSockets]).toEqual([2, 2]);
    first.socket.destroy();
    second.socket.destroy();
    await origin.waitUntilIdle();
    expect([origin.connectionCount, origin.openSockets]).toEqual([2, 0]);
  });

  test('with TLS records the server name, and that a session was resumed', async () => {
    const ca = await createCa();
    const origin = await use(startOrigin({ tls: await ca.issue({ names: ['o.example'] }) }));
    const agent = new https.Agent({ ca: ca.certificate });
    for (const path of ['/first', '/second']) {
      const request = https.get({ host: origin.host, port: origin.port, servername: 'o.example', path, agent });
      const [response] = await once(request, 'response');
      await once(response.resume(), 'close');
    }
    expect(origin.url).toBe(`https://127.0.0.1:${origin.port}`);
    expect(origin.requests.map(({ servername, resumed }) => [servername, resumed])).toEqual([
      ['o.example', false],
      ['o.example', true],
    ]);
  });

  test('listens on IPv6', async () => {
    const origin = await use(startOrigin({ host: '::1' }));
    expect(origin.url).toBe(`http://[::1]:${origin.port}`);
    const wire = await use(Wire.to(origin));
    await wire.send('GET / HTTP/1.1', '').until(/\}$/);
    expect(origin.requests[0]?.remoteAddress).toBe('::1');
  });

  test('records a body that its handler never reads, and lets a handler read a body that is recorded', async () => {
    const heard: string[] = [];
    const origin = await use(
      startOrigin({
        handler: async (request, response) => {
          if (request.url === '/read') for await (const chunk of request) heard.push(String(chunk));
          response.end('ok');
        },
      }),
    );
    for (const path of ['/ignore', '/read']) {
      const request = http.request({ host: origin.host, port: origin.port, path, method: 'PUT' });
      request.write('one ');
      request.end('two');
      const [response] = await once(request, 'response');
      await once(response.resume(), 'end');
    }
    expect(origin.requests.map(({ body }) => String(body))).toEqual(['one two', 'one two']);
    expect(heard.join('')).toBe('one two');
  });

  test('without recordBodies hands over the live stream and keeps nothing', async () => {
    const origin = await use(startOrigin({ recordBodies: false }));
    const wire = await use(Wire.to(origin));
    wire.send('PUT /big HTTP/1.1', 'Content-Length: 6', '', 'half');
    await origin.waitForRequests(1);
    expect(origin.requests[0]?.complete).toBe(false);
    wire.socket.write('');
    expect(await wire.until(/\}$/)).toContain('"body":"","bytes":6');
    expect(origin.requests[0]).toMatchObject({ body: Buffer.alloc(0), complete: true });
  });

  test('says what went wrong in its handler', async () => {
    const origin = await use(
      startOrigin({
        handler: () => {
          throw new Error('no such fixture');
        },
      }),
    );
    const wire = await use(Wire.to(origin));
    expect(await wire.send('GET / HTTP/1.1', '').until(/no such fixture/)).toMatch(/^HTTP\/1.1 500 /);
  });

  test('hands over upgrades', async () => {
    const origin = await use(
      startOrigin({ upgrade: (_, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\nother protocol') }),
    );
    const wire = await use(Wire.to(origin));
    wire.send('GET /chat HTTP/1.1', 'Connection: upgrade', 'Upgrade: other', '');
    expect(await wire.all()).toMatch(/other protocol$/);
    expect(origin.requests[0]?.target).toBe('/chat');
  });

  test('closes with connections open, and again', async () => {
    const origin = await use(startOrigin({ handler: () => undefined }));
    const wire = await use(Wire.to(origin));
    wire.send('GET / HTTP/1.1', '');
    await origin.waitForRequests(1);
    await Promise.all([origin.close(), origin.close()]);
    expect(await wire.ended).toMatch(/fin|ECONNRESET/);
    expect(origin.openSockets).toBe(0);
    await expect(Wire.to(origin)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(inspect(origin)).toBe(`LabOrigin { url: '${origin.url}', requests: 1, openSockets: 0 }`);
  });
});

describe('the ledger of leaks', () => {
  test('names every proxy header that reached an origin, and holds no value', async () => {
    const origin = await use(startOrigin());
    const wire = await use(Wire.to(origin));
    await wire.send('GET /in HTTP/1.1', 'Proxy-Authorization: Basic c2VjcmV0', 'Proxy-Connection: close', '').all();
    expect(credentialLeaks()).toEqual([
      { origin: origin.url, header: 'proxy-authorization', target: '/in' },
      { origin: origin.url, header: 'proxy-connection', target: '/in' },
    ]);
    forgetCredentialLeaks();
    expect(credentialLeaks()).toEqual([]);
  });

  test('leaves out origins where a leak is expected', async () => {
    const origin = await use(startOrigin({ leakIsExpected: true }));
    const wire = await use(Wire.to(origin));
    await wire.send('GET / HTTP/1.1', 'Proxy-Authorization: x', '').until(/\}$/);
    expect(origin.requests[0]?.headers['proxy-authorization']).toBe('x');
    expect(credentialLeaks()).toEqual([]);
  });
});
