// An answer that is lost with its body unread is told of, and its connection freed; in processes that collect garbage.

import type { OriginHandler } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { ca, origin, proxy, socks } from '../transport/lab.ts';

/**
 * Runs `calls` in a process of its own, loses a body at `/control` afterwards, and collects garbage until that has been
 * told of: by then whatever else was lost has been, too.
 * @returns the paths that warnings name, and the states of the connections after them
 */
async function lose(url: string, calls: string, options: object = {}): Promise<{ warned: string[]; states: string[] }> {
  const script = `
    import { setFlagsFromString } from 'node:v8';
    import { runInNewContext } from 'node:vm';
    import { Session } from '@cloudlane/session';
    import { Transport } from '@cloudlane/transport';
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc');
    const warned = [];
    process.on('warning', ({ name, code, message }) => warned.push([name, code, message]));
    const transport = new Transport(${JSON.stringify({ tls: { ca: ca.certificate } })});
    const session = new Session({ transport, ...${JSON.stringify(options)} });
    const url = ${JSON.stringify(url)};
    const turns = async (count) => {
      for (let turn = 0; turn < count; turn += 1) {
        collect();
        await new Promise(setImmediate);
      }
    };
    await (async () => { ${calls} })();
    await turns(5);
    await (async () => { await session.get(url + '/control'); })();
    while (!warned.some(([,, message]) => message.includes('/control'))) await turns(1);
    await turns(5);
    console.log(JSON.stringify({ warned, states: transport.connections.map(({ state }) => state) }));
    process.exit();
  `;
  const { output, errors, code } = await runScript(script);
  // Node prints warnings, too.
  expect({ errors: errors.replaceAll(/^.*(?:CLOUDLANE_LEAKED_BODY|trace-warnings).*$\n?/gm, ''), code }).toEqual({
    errors: '',
    code: 0,
  });
  expect(secretsIn(errors + output)).toEqual([]);
  const { warned, states }: { warned: [string, string, string][]; states: string[] } = JSON.parse(output);
  for (const [name, warning] of warned) expect([name, warning]).toEqual(['LeakWarning', 'CLOUDLANE_LEAKED_BODY']);
  return { warned: warned.map(([, , message]) => /to ([A-Z]+ \S+) was neither/.exec(message)?.[1] ?? message), states };
}

const LONG = Buffer.alloc(200_000, '.');
const handler: OriginHandler = ({ url = '' }, response) => {
  if (url === '/204') return void response.writeHead(204).end();
  if (url === '/304') return void response.writeHead(304).end();
  if (url === '/redirect') return void response.writeHead(302, { Location: '/long' }).end('moved');
  if (url === '/missing') return void response.writeHead(404).end(LONG);
  return void response.end(url === '/empty' ? '' : url === '/long' ? LONG : 'short');
};

describe.each(['direct', 'forward', 'tunnel', 'socks'])('%s:', (way) => {
  test(
    'a body that nobody can read any more is told of, and its connection closed',
    async () => {
      const target = await origin(way === 'tunnel' ? 'https' : 'http', { handler });
      const through = way === 'direct' ? null : await (way === 'socks' ? socks() : proxy());
      const { warned, states } = await lose(
        target.url,
        `await session.get(url + '/long?token=${SECRETS.token}'); await session.post(url + '/short', { data: 'x' });`,
        { http_proxy: through?.url ?? null },
      );
      expect(warned.toSorted()).toEqual([
        `GET ${target.url}/control`,
        `GET ${target.url}/long?token=***`,
        `POST ${target.url}/short`,
      ]);
      expect(states).toEqual([]);
    },
    PROCESS_TIMEOUT,
  );
});

describe('nothing is told of a body that', () => {
  test.each<[what: string, calls: string]>([
    ['was read', `await (await session.get(url + '/long')).content();`],
    ['was read as text', `await (await session.get(url + '/long')).text();`],
    ['was read piece by piece', `for await (const _ of (await session.get(url + '/long')).iterContent());`],
    ['was read in part', `for await (const _ of (await session.get(url + '/long')).iterContent(10)) break;`],
    ['was taken as a stream', `(await session.get(url + '/long')).body.resume();`],
    ['was released', `(await session.get(url + '/long')).release();`],
    ['was drained', `await (await session.get(url + '/short')).drain();`],
    ['was prefetched', `await session.get(url + '/long', { prefetch: true });`],
    ['is empty', `await session.get(url + '/empty');`],
    ['is none: HEAD', `await session.head(url + '/long');`],
    ['is none: 204', `await session.get(url + '/204');`],
    ['is none: 304', `await session.get(url + '/304');`],
    ['came with a redirect', `await (await session.get(url + '/redirect')).content();`],
    ['was raised', `await session.get(url + '/missing', { dangerMode: true }).catch(() => {});`],
    ['is still held', `globalThis.held = await session.get(url + '/long');`],
    ['never came', `await session.get('http://127.0.0.1:1/', { safeMode: true });`],
    ['was mapped', `await session.map([url + '/long', url + '/short']);`],
  ])(
    '%s',
    async (_, calls) => {
      const target = await origin('http', { handler });
      const { warned } = await lose(target.url, calls);
      expect(warned).toEqual([`GET ${target.url}/control`]);
    },
    PROCESS_TIMEOUT,
  );
});
