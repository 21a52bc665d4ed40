// Recording holds no answer: one that is lost is collected and told of as ever; in processes that collect garbage.
import { describe, expect, test } from '@jest/globals';
import type { Har, HarEntry } from '../../packages/session/src/har-format.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { origin } from '../transport/lab.ts';
import { faultsOf } from './har-rules.ts';

const LONG = Buffer.alloc(200_000, '.');

interface Outcome {
  readonly warned: readonly string[];
  readonly states: readonly string[];
  readonly entries: readonly HarEntry[];
}

/** Runs `calls` in the hearing of a recorder, collects garbage until `isOver`, and tells what came of it. */
async function record(calls: string, isOver: string): Promise<Outcome> {
  const target = await origin('http', {
    handler: ({ url = '' }, response) => {
      if (url === '/cut') return void response.writeHead(200, { 'Content-Length': 9 }).write('half');
      return void response.end(url === '/long' ? LONG : 'short');
    },
  });
  const script = `
    import { setFlagsFromString } from 'node:v8';
    import { runInNewContext } from 'node:vm';
    import { HarRecorder, Session } from '@cloudlane/session';
    import { Transport } from '@cloudlane/transport';
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc');
    const warned = [];
    process.on('warning', ({ code, message }) => warned.push(code + ' ' + message));
    const transport = new Transport();
    const har = new HarRecorder({ content: true });
    const session = new Session({ transport, har });
    const url = ${JSON.stringify(target.url)};
    const answers = [];
    const areLost = () => answers.every((answer) => answer.deref() === undefined);
    const turn = () => new Promise(setImmediate);
    const collectUntil = async (isOver) => {
      while (!isOver()) {
        // What was looked at is held until the turn is over.
        await turn();
        collect();
        await turn();
      }
    };
    await (async () => { ${calls} })();
    await collectUntil(() => ${isOver});
    for (let times = 0; times < 5; times += 1) await turn();
    console.log(JSON.stringify({ har, warned, states: transport.connections.map(({ state }) => state) }));
    process.exit();
  `;
  const { output, errors, code } = await runScript(script);
  expect({ errors: errors.replaceAll(/^.*(?:CLOUDLANE_LEAKED_BODY|trace-warnings).*$\n?/gm, ''), code }).toEqual({
    errors: '',
    code: 0,
  });
  const { har, warned, states }: { har: Har; warned: string[]; states: string[] } = JSON.parse(output);
  expect(faultsOf(har)).toEqual([]);
  return {
    warned: warned.map((text) => text.replaceAll(target.url, '').slice(0, 48)),
    states,
    entries: har.log.entries,
  };
}

const NOT_READ = 'the body has not been read to its end';

describe('an answer that is recorded', () => {
  test(
    'and lost with its body unread is told of, its connection freed, and its entry kept',
    async () => {
      const { warned, states, entries } = await record(`await session.get(url + '/long');`, 'warned.length > 0');
      expect(warned).toEqual(['CLOUDLANE_LEAKED_BODY The body of an answer to G']);
      expect(states).toEqual([]);
      expect(entries).toMatchObject([
        { comment: NOT_READ, connection: '1', _route: 'direct', response: { status: 200, bodySize: -1 } },
      ]);
      expect(entries[0]?.timings.wait).toBeGreaterThan(0);
      expect(entries[0]?.timings.receive).toBe(0);
    },
    PROCESS_TIMEOUT,
  );

  test(
    'and lost while its stream is read is complete all the same',
    async () => {
      const { warned, entries } = await record(
        `const lose = async () => {
          const answer = await session.get(url + '/long');
          answers.push(new WeakRef(answer));
          return answer.body;
        };
        const body = await lose();
        await collectUntil(areLost);
        for await (const _ of body);`,
        'true',
      );
      expect(warned).toEqual([]);
      const [entry] = entries;
      expect(entry).not.toHaveProperty('comment');
      expect(entry?.timings.receive).toBeGreaterThan(0);
      expect(entry?.time).toBeGreaterThan(entry?.timings.receive ?? Number.NaN);
    },
    PROCESS_TIMEOUT,
  );

  test(
    'and lost once it has been read is collected, and its content kept',
    async () => {
      const { warned, entries } = await record(
        `const read = async () => {
          const answer = await session.get(url);
          answers.push(new WeakRef(answer));
          await answer.text();
        };
        for (let round = 0; round < 20; round += 1) await read();`,
        'areLost()',
      );
      expect(warned).toEqual([]);
      expect(entries).toHaveLength(20);
      for (const { response } of entries) expect(response).toMatchObject({ bodySize: 5, content: { text: 'short' } });
    },
    PROCESS_TIMEOUT,
  );

  test(
    'without a body, and lost, is whole from the beginning',
    async () => {
      const { warned, entries } = await record(
        `const ask = async () => void answers.push(new WeakRef(await session.head(url)));
        await ask();`,
        'areLost()',
      );
      expect(warned).toEqual([]);
      expect(entries).toMatchObject([{ timings: { receive: 0 }, response: { status: 200, bodySize: 0 } }]);
      expect(entries[0]).not.toHaveProperty('comment');
    },
    PROCESS_TIMEOUT,
  );

  test(
    'and given up is not said to have been read',
    async () => {
      const { warned, entries } = await record(
        `const giveUp = async (path, how, options) => {
          const answer = await session.get(url + path, options);
          answers.push(new WeakRef(answer));
          await how(answer);
        };
        await giveUp('/long', (answer) => void answer.body.destroy());
        await giveUp('/cut', (answer) => answer.text().catch(() => {}), { timeout: { idle: 20 } });
        await giveUp('/', (answer) => answer.drain());`,
        'areLost()',
      );
      expect(warned).toEqual([]);
      expect(entries.map(({ comment, response }) => [comment, response.bodySize])).toEqual([
        [NOT_READ, -1],
        [NOT_READ, -1],
        // It was short enough to be read for the sake of its connection.
        [undefined, 5],
      ]);
      for (const { timings } of entries) expect(timings.receive).toBeGreaterThan(0);
    },
    PROCESS_TIMEOUT,
  );
});
