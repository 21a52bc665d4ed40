// Messages, errors and closes wait until somebody listens: none is lost, and none ends the process.
import { on, once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RoutedWebSocket } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { createWebSocketStream, type WebSocket } from 'ws';
import { expectWarning } from '../support/hygiene.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { expectNothingLeft, newTransport, until } from '../transport/lab.ts';
import { closeOf, connect, nextMessage, startEcho } from './lab.ts';

interface Held {
  readonly socket: RoutedWebSocket;
  /** The origin's end. */
  readonly client: WebSocket;
  readonly closed: () => Promise<void>;
}

/** A WebSocket that has got what `speak` sends, or as much of it as is taken, and to which nobody listens yet. */
async function held(speak: (client: WebSocket) => void): Promise<Held> {
  const transport = newTransport();
  const server = await startEcho('ws', {
    onSocket: (client, request) => {
      if (request.url === '/') speak(client);
    },
  });
  const socket = await connect(server.url, { http_proxy: null, transport });
  const [client] = server.clients;
  if (client === undefined) throw new Error('nobody has connected');
  await passed(server.url);
  return { socket, client, closed: () => expectNothingLeft(transport, server.origin) };
}

/** What had been sent before has come: another connection has come and gone meanwhile. */
async function passed(url: string): Promise<void> {
  const other = await connect(`${url}/other`, { http_proxy: null });
  await closeOf(other);
}

const say =
  (...messages: readonly string[]) =>
  (client: WebSocket): void => {
    for (const message of messages) client.send(message);
  };

const sayAndClose =
  (...messages: readonly string[]) =>
  (client: WebSocket): void => {
    say(...messages)(client);
    client.close(4000, 'enough');
  };

const MANY = Array.from({ length: 50 }, (_, index) => `message ${index}`);

describe('what has come before anybody listens', () => {
  test('is told to once() in a row, with work in between', async () => {
    const { socket } = await held(say(...MANY));
    const heard: string[] = [];
    while (heard.length < MANY.length) {
      heard.push(String(await nextMessage(socket)));
      if (heard.length % 3 === 0) await nextTurn();
    }
    expect(heard).toEqual(MANY);
  });

  test('is told to events.on(), which ends with the close', async () => {
    const { socket, closed } = await held(sayAndClose(...MANY));
    const heard: string[] = [];
    for await (const [data] of on(socket, 'message', { close: ['close'] })) heard.push(String(data));
    expect(heard).toEqual(MANY);
    await closed();
  });

  test.each<[string, (socket: RoutedWebSocket, tell: (what: unknown) => void) => void]>([
    ['on()', (socket, tell) => socket.on('message', (data) => tell(String(data))).on('close', (code) => tell(code))],
    [
      'addEventListener()',
      (socket, tell) => {
        socket.addEventListener('message', ({ data }) => tell(data));
        socket.addEventListener('close', ({ code }) => tell(code));
      },
    ],
    [
      'onmessage and onclose',
      (socket, tell) => {
        socket.onmessage = ({ data }) => tell(data);
        socket.onclose = ({ code }) => tell(code);
      },
    ],
  ])('is told to %s, in order, the close last', async (_, listen) => {
    const { socket } = await held(sayAndClose(...MANY));
    const heard: unknown[] = [];
    listen(socket, (what) => void heard.push(what));
    await until(() => heard.length > MANY.length);
    expect(heard).toEqual([...MANY, 4000]);
  });

  test('is told to all that listen in the same step', async () => {
    const { socket } = await held(say('one'));
    const heard: string[] = [];
    for (const name of ['a', 'b']) socket.on('message', (data) => void heard.push(`${name}: ${data}`));
    await until(() => heard.length > 0);
    expect(heard).toEqual(['a: one', 'b: one']);
  });

  test('comes before what comes later', async () => {
    const { socket, client } = await held(say('one', 'two'));
    const heard: string[] = [];
    client.send('three');
    socket.on('message', (data) => void heard.push(String(data)));
    await until(() => heard.length === 3);
    expect(heard).toEqual(['one', 'two', 'three']);
  });

  test('is read by a stream to its end', async () => {
    const { socket, closed } = await held(sayAndClose(...MANY));
    expect(await text(createWebSocketStream(socket))).toBe(MANY.join(''));
    await closed();
  });

  test('does not keep the close from who listens to that alone', async () => {
    const { socket } = await held(sayAndClose('one', 'two'));
    const [code, reason] = await once(socket, 'close');
    expect([code, String(reason)]).toEqual([4000, 'enough']);
    expect(await once(socket, 'message')).toEqual([Buffer.from('one'), false]);
  });
});

/** A frame with a reserved bit (RFC 6455 §5.2), which no client takes. */
const BROKEN = Buffer.of(0xf1, 0);

test('an error that nobody listens to is kept, and does not end the process', async () => {
  const { socket, closed } = await held((client) => {
    client.send('one');
    Reflect.get(client, '_socket').write(BROKEN);
  });
  await closed();
  expect(await once(socket, 'message')).toEqual([Buffer.from('one'), false]);
  const [error] = await once(socket, 'error');
  expect(error).toMatchObject({ message: expect.stringContaining('Invalid WebSocket frame: RSV2 and RSV3') });
  expect((await once(socket, 'close'))[0]).toBe(1006);
});

const BIG = Buffer.alloc(16 * 1024, 'x');

/** Sends as much as no buffers of two sockets hold: as long as it has not been read, some of it is left here. */
function sayMuch(client: WebSocket): void {
  for (let index = 0; index < MUCH; index += 1) client.send(Buffer.concat([Buffer.from(String(index)), BIG]));
}

const MUCH = 1200;
const NUMBERS = Array.from({ length: MUCH }, (_, index) => String(index));

describe('more than 64 KiB that nobody listens to', () => {
  const start = async (): Promise<Held> => {
    const opened = await held(sayMuch);
    await until(() => opened.socket.isPaused);
    return opened;
  };

  test('are held back at the origin, and come when somebody listens', async () => {
    const { socket, client } = await start();
    await passed(socket.url.replace(/\/$/, ''));
    expect(client.bufferedAmount).toBeGreaterThan(0);
    let count = 0;
    const wrong: number[] = [];
    socket.on('message', (data) => {
      if (!String(data).startsWith(`${count}x`)) wrong.push(count);
      count += 1;
    });
    await until(() => count === MUCH);
    expect([wrong, socket.isPaused, client.bufferedAmount]).toEqual([[], false, 0]);
  });

  test('come to once() in a row, and then to a stream', async () => {
    const { socket, client } = await start();
    const heard: string[] = [];
    while (heard.length < 300) heard.push(String(await nextMessage(socket)));
    client.close();
    const all = heard.join('') + (await text(createWebSocketStream(socket)));
    expect(all.length).toBe(MUCH * BIG.length + NUMBERS.join('').length);
    expect(all.split(/x+/).slice(0, -1)).toEqual(NUMBERS);
  });

  test('are dropped with a warning for who listens to the close alone, which comes', async () => {
    expectWarning('CLOUDLANE_UNREAD_MESSAGES', "listens to 'close', but not to 'message'");
    const { socket, client, closed } = await start();
    client.close(4000);
    expect((await once(socket, 'close'))[0]).toBe(4000);
    await closed();
  });

  test.each([
    ['close() from its handshake', 'close', 1005],
    ['terminate() from its end', 'terminate', 1006],
  ] as const)('do not keep %s', async (_, end, code) => {
    const { socket, closed } = await start();
    socket[end](); // Nobody listens to its end either.
    await until(() => socket.readyState === socket.CLOSED);
    expect(socket.closeCode).toBe(code);
    await closed();
  });

  test('do not undo the pause() of who takes them out one by one', async () => {
    const { socket } = await start();
    socket.pause();
    const messages = socket[Symbol.asyncIterator]();
    // What had come before it was held back: at least as much as is held.
    for (let index = 0; index < 4; index += 1) expect((await messages.next()).done).toBe(false);
    expect(socket.isPaused).toBe(true);
  });

  test.each<[string, (socket: RoutedWebSocket) => void]>([
    [
      'before that',
      (socket) => {
        socket.pause();
        socket.on('message', () => {});
      },
    ],
    ['for the first of them', (socket) => void socket.once('message', () => socket.pause()).on('message', () => {})],
  ])('do not undo the pause() of who listens: %s', async (_, listen) => {
    const { socket, client } = await start();
    listen(socket);
    // They are told in the next step.
    await new Promise((resolve) => process.nextTick(resolve));
    let count = 0;
    socket.on('message', () => {
      count += 1;
    });
    await passed(socket.url.replace(/\/$/, ''));
    expect([count, socket.isPaused]).toEqual([0, true]);
    socket.resume();
    await until(() => client.bufferedAmount === 0);
    expect(count).toBeGreaterThan(0);
  });
});

test('who has paused the WebSocket gets nothing of what waits until it is resumed', async () => {
  const { socket } = await held(say('one', 'two'));
  socket.pause();
  const heard: string[] = [];
  socket.on('message', (data) => void heard.push(String(data)));
  await passed(socket.url.replace(/\/$/, ''));
  expect(heard).toEqual([]);
  socket.resume();
  await until(() => heard.length > 1);
  expect(heard).toEqual(['one', 'two']);
});

test('who has paused the WebSocket gets nothing that comes until it is resumed', async () => {
  const { socket, client } = await held(() => {});
  socket.pause();
  const heard: string[] = [];
  socket.on('message', (data) => void heard.push(String(data)));
  say('one', 'two')(client);
  await passed(socket.url.replace(/\/$/, ''));
  expect([heard, socket.isPaused]).toEqual([[], true]);
  socket.resume();
  await until(() => heard.length === 2);
});

/** In a process of its own, which lives on after what its listeners throw: what is printed. */
async function told(speak: string, listen: string): Promise<string[]> {
  const { output, errors } = await runScript(`
    import { once } from 'node:events';
    import { connectWebSocket } from '@cloudlane/websocket';
    import { WebSocketServer } from 'ws';
    process.on('uncaughtException', ({ message }) => console.log(message));
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    const clients = [];
    server.on('connection', (client) => clients.push(client));
    await once(server, 'listening');
    const url = 'ws://127.0.0.1:' + server.address().port;
    const socket = await connectWebSocket(url, { http_proxy: null });
    const [client] = clients;
    ${speak};
    const other = await connectWebSocket(url, { http_proxy: null });
    other.close();
    await once(other, 'close');
    ${listen};
    await once(socket, 'close');
    server.close();
  `);
  expect(errors).toBe('');
  return output.trim().split('\n');
}

describe('a listener that throws', () => {
  const listen = `let thrown = false;
    socket.on('message', (data) => {
      console.log(String(data).slice(0, 3));
      if (thrown) return;
      thrown = true;
      throw new Error('no');
    })`;

  test(
    'does not lose the rest',
    async () => {
      const heard = told(`client.send('one'); client.send('two'); client.close(4000)`, listen);
      expect(await heard).toEqual(['one', 'no', 'two']);
    },
    PROCESS_TIMEOUT,
  );

  test(
    'at the last one that waited does not leave the connection paused',
    async () => {
      const heard = told(
        `client.send('x'.repeat(100_000))`,
        `while (!socket.isPaused) await new Promise(setImmediate); ${listen}; client.send('yyy'); client.close()`,
      );
      expect(await heard).toEqual(['xxx', 'no', 'yyy']);
    },
    PROCESS_TIMEOUT,
  );
});
