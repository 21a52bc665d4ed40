import {
  type LabOrigin,
  type LabSocks,
  type LabSocksOptions,
  type SocksMisbehaviour,
  type SocksPhase,
  startOrigin,
  startSocks,
} from '@cloudlane/testing';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

const LOOPBACK = [127, 0, 0, 1] as const;
const ANYWHERE = [0, 0, 0, 0, 0, 0] as const;
const auth = { username: 'user', password: 'right' };

let origin: LabOrigin;
let proxy: LabSocks;

beforeEach(async () => {
  origin = await use(startOrigin());
});

/** A course of SOCKS: what a client says before it waits for the answer of a phase, and the right answer. */
interface Step {
  readonly phase: SocksPhase;
  says(): readonly (number | string)[];
  /** How the right answer begins, and how long it is. */
  readonly answer: readonly number[];
  readonly length: number;
}

const port = () => [origin.port >> 8, origin.port & 0xff] as const;
const greeting = (method: number): Step => ({
  phase: 'greeting',
  says: () => [5, 1, method],
  answer: [5, method],
  length: 2,
});
const password: Step = {
  phase: 'auth',
  says: () => [1, 4, 'user', 5, 'right'],
  answer: [1, 0],
  length: 2,
};
const request5: Step = {
  phase: 'request',
  says: () => [5, 1, 0, 1, ...LOOPBACK, ...port()],
  answer: [5, 0, 0, 1, ...LOOPBACK],
  length: 10,
};
const request4: Step = {
  phase: 'request',
  says: () => [4, 1, ...port(), ...LOOPBACK, 'me', 0],
  answer: [0, 90],
  length: 8,
};

const COURSES: Readonly<Record<string, { readonly options: LabSocksOptions; readonly steps: readonly Step[] }>> = {
  'SOCKS5 with a password': { options: { auth }, steps: [greeting(2), password, request5] },
  SOCKS5: { options: {}, steps: [greeting(0), request5] },
  SOCKS4: { options: {}, steps: [request4] },
};
const places = Object.entries(COURSES).flatMap(([name, { steps }]) => steps.map(({ phase }) => [name, phase] as const));

/** Speaks as far as the phase, and leaves its answer to the test. */
async function speak(course: string, phase: SocksPhase, misbehaviour: SocksMisbehaviour): Promise<[Wire, Step]> {
  const { options, steps } = COURSES[course] ?? { options: {}, steps: [] };
  proxy = await use(startSocks({ ...options, misbehaviour }));
  const wire = await use(Wire.to(proxy));
  for (const step of steps) {
    wire.write(...step.says());
    if (step.phase === phase) return [wire, step];
    expect((await wire.next(step.length)).slice(0, step.answer.length)).toEqual(step.answer);
  }
  throw new Error(`no ${phase} in ${course}`);
}

/** The rest of the course, with a tunnel at its end. */
async function expectRest(wire: Wire, course: string, after: SocksPhase): Promise<void> {
  const steps = COURSES[course]?.steps ?? [];
  for (const step of steps.slice(steps.findIndex(({ phase }) => phase === after) + 1)) {
    wire.write(...step.says());
    expect((await wire.next(step.length)).slice(0, step.answer.length)).toEqual(step.answer);
  }
  await wire.send('GET /inside HTTP/1.1', '').until(/"target":"\/inside"/);
  expect(proxy.openTunnels).toBe(1);
}

/** The right answer as it comes, one byte in each packet. */
async function expectDrops(wire: Wire, step: Step): Promise<void> {
  while (wire.text.length < step.length) await wire.settled();
  expect(wire.packets.map(({ length }) => length)).toEqual(Array(step.length).fill(1));
  expect((await wire.next(step.length)).slice(0, step.answer.length)).toEqual(step.answer);
}

describe.each(places)('%s, in the answer to the %s', (course, phase) => {
  test('hangs', async () => {
    const [wire] = await speak(course, phase, { kind: 'hang', in: phase });
    await proxy.waitForHops(1);
    expect(await wire.settled()).toBe('');
    expect(proxy.hops).toMatchObject([{ reply: null }]);
    wire.socket.destroy();
    await proxy.waitUntilIdle();
    expect(origin.connectionCount).toBe(0);
  });

  test('hangs until it is released', async () => {
    let release = () => {};
    const until = new Promise<void>((resolve) => {
      release = resolve;
    });
    const [wire, step] = await speak(course, phase, { kind: 'hang-until', in: phase, until });
    await proxy.waitForHops(1);
    expect(await wire.settled()).toBe('');
    release();
    expect((await wire.next(step.length)).slice(0, step.answer.length)).toEqual(step.answer);
    await expectRest(wire, course, phase);
  });

  test('dials nobody when the client went before the release', async () => {
    let release = () => {};
    const until = new Promise<void>((resolve) => {
      release = resolve;
    });
    const [wire] = await speak(course, phase, { kind: 'hang-until', in: phase, until });
    await proxy.waitForHops(1);
    wire.socket.end();
    await proxy.waitUntilIdle();
    release();
    await wire.settled();
    expect([origin.connectionCount, proxy.hops[0]?.reply]).toEqual([0, null]);
  });

  test('ends', async () => {
    const [wire] = await speak(course, phase, { kind: 'end', in: phase });
    expect([await wire.ended, wire.text]).toEqual(['fin', '']);
  });

  test('resets', async () => {
    const [wire] = await speak(course, phase, { kind: 'reset', in: phase });
    expect([await wire.ended, wire.text]).toEqual(['ECONNRESET', '']);
  });

  test.each([
    [{}, 'this is not SOCKS\r\n'],
    [{ bytes: Buffer.from([9, 9]) }, '\t\t'],
  ])('sends garbage %j', async (bytes, text) => {
    const [wire] = await speak(course, phase, { kind: 'garbage', in: phase, ...bytes });
    expect([await wire.ended, wire.text]).toEqual(['fin', text]);
    expect(origin.connectionCount).toBe(0);
  });

  test('ends within the answer', async () => {
    const [wire, { answer, length }] = await speak(course, phase, { kind: 'half', in: phase });
    expect(await wire.ended).toBe('fin');
    expect(wire.text).toHaveLength(length / 2);
    expect(await wire.next(1)).toEqual(answer.slice(0, 1));
    await proxy.waitUntilIdle();
    await origin.waitUntilIdle();
  });

  test('stalls within the answer', async () => {
    const [wire, { length }] = await speak(course, phase, { kind: 'half-stall', in: phase });
    await wire.until(/./s);
    expect(await wire.settled()).toHaveLength(length / 2);
    expect(wire.socket.readyState).toBe('open');
    wire.socket.destroy();
    await Promise.all([proxy.waitUntilIdle(), origin.waitUntilIdle()]);
  });

  test('drips the answer, and goes on', async () => {
    const [wire, step] = await speak(course, phase, { kind: 'drip', in: phase, interval: 5 });
    const asked = performance.now();
    await expectDrops(wire, step);
    expect(performance.now() - asked).toBeGreaterThan((step.length - 1) * 4);
    await expectRest(wire, course, phase);
  });

  test('gives up the origin when the client goes within the answer', async () => {
    const [wire] = await speak(course, phase, { kind: 'drip', in: phase, interval: 60_000 });
    await wire.until(/./s);
    wire.socket.end();
    await Promise.all([proxy.waitUntilIdle(), origin.waitUntilIdle()]);
  });
});

describe.each(Object.entries(COURSES))('%s', (course, { options, steps }) => {
  const version = course === 'SOCKS4' ? 4 : 5;
  const grant = version === 4 ? [0, 90] : [5, 0, 0, 1];

  test('sends every answer byte by byte', async () => {
    proxy = await use(startSocks({ ...options, misbehaviour: { kind: 'byte-by-byte' } }));
    const wire = await use(Wire.to(proxy));
    for (const step of steps) {
      wire.write(...step.says());
      await expectDrops(wire, step);
    }
    await expectRest(wire, course, 'request');
  });

  test.each([version === 4 ? 90 : 0, version === 4 ? 92 : 3, 200])('replies with the code %i', async (code) => {
    const [wire] = await speak(course, 'request', { kind: 'reply', code });
    await wire.ended;
    const reply = version === 4 ? [0, code, ...ANYWHERE] : [5, code, 0, 1, ...ANYWHERE];
    expect([...Buffer.from(wire.text, 'latin1')]).toEqual(reply);
    expect([proxy.hops[0]?.reply, origin.connectionCount]).toEqual([code, 0]);
  });

  test('answers the first bytes as an HTTP proxy does', async () => {
    const [wire] = await speak(course, steps[0]?.phase ?? 'request', { kind: 'http-answer' });
    expect(await wire.all()).toMatch(
      /^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*\r\nContent-Length: \d+\r\n\r\n[\s\S]*<\/html>\n$/,
    );
    expect(proxy.hops).toMatchObject([{ version, reply: null, sent: wire.text.length }]);
  });

  test('glues early bytes to the grant', async () => {
    const [wire, { length }] = await speak(course, 'request', { kind: 'early-bytes', bytes: 'SSH-2.0-early\r\n' });
    await wire.until(/early/);
    expect(wire.packets).toHaveLength(1);
    expect((await wire.next(length)).slice(0, grant.length)).toEqual(grant);
    expect(wire.text).toBe('SSH-2.0-early\r\n');
    await expectRest(wire, course, 'request');
  });

  test('glues nothing to a refusal', async () => {
    await origin.close();
    const [wire, { length }] = await speak(course, 'request', { kind: 'early-bytes', bytes: 'early' });
    expect(await wire.all()).toHaveLength(length);
    expect(proxy.hops[0]?.reply).toBe(version === 4 ? 91 : 5);
  });

  test.each([
    ['end', 'fin'],
    ['reset', 'ECONNRESET'],
  ] as const)('closes right after the grant: %s', async (how, ended) => {
    const [wire] = await speak(course, 'request', { kind: 'close-after-tunnel', how });
    expect(await wire.ended).toBe(ended);
    expect([...Buffer.from(wire.text, 'latin1')]).toEqual([...grant, ...ANYWHERE]);
    expect(origin.connectionCount).toBe(0);
  });

  test('grants a tunnel and stays silent', async () => {
    const [wire, { length }] = await speak(course, 'request', { kind: 'silent-tunnel' });
    expect(await wire.next(length)).toEqual([...grant, ...ANYWHERE]);
    expect(await wire.send('GET /inside HTTP/1.1', '').settled()).toBe('');
    expect([origin.connectionCount, proxy.openSockets]).toEqual([0, 1]);
    wire.socket.destroy();
    await proxy.waitUntilIdle();
  });

  test('refuses connections, so many times', async () => {
    proxy = await use(startSocks({ misbehaviour: { kind: 'refuse', times: 1 } }));
    // The reset may come before the client has noticed that it was connected.
    const refused = Wire.to(proxy).then(
      ({ ended }) => ended,
      ({ code }) => code,
    );
    expect(await refused).toBe('ECONNRESET');
    await use(Wire.to(proxy));
    proxy.misbehave({ kind: 'refuse', how: 'close-listener' });
    await expect(Wire.to(proxy)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    proxy.misbehave({ kind: 'mute' });
    const wire = await use(Wire.to(proxy));
    expect(await wire.write(...(steps[0]?.says() ?? [])).settled()).toBe('');
    expect(proxy.hops).toEqual([]);
  });

  test('misbehaves so many times, then behaves, until told again', async () => {
    const [wire] = await speak(course, 'request', { kind: 'end', in: 'request', times: 1 });
    await wire.ended;
    const next = await use(Wire.to(proxy));
    for (const step of steps) {
      await next.write(...step.says()).next(step.length);
    }
    await expectRest(next, course, 'request');
  });
});

describe('SOCKS5 alone', () => {
  test.each([
    ['GSSAPI, and waits', 1],
    ['none that is acceptable, and ends', 0xff],
  ])('chooses %s', async (_, method) => {
    const [wire] = await speak('SOCKS5', 'greeting', { kind: 'method', method });
    expect(await wire.next(2)).toEqual([5, method]);
    expect(await wire.write(5, 1, 0, 1, ...LOOPBACK, ...port()).settled()).toBe('');
    if (method === 0xff) expect(await wire.ended).toBe('fin');
    else expect(wire.socket.readyState).toBe('open');
    expect(origin.connectionCount).toBe(0);
  });

  test('chooses a password that was not offered, and takes it', async () => {
    const [wire] = await speak('SOCKS5', 'greeting', { kind: 'method', method: 2 });
    expect(await wire.next(2)).toEqual([5, 2]);
    expect(await wire.write(...password.says()).next(2)).toEqual([1, 0]);
    await expectRest(wire, 'SOCKS5', 'greeting');
    expect(proxy.hops).toMatchObject([{ methods: [0], username: 'user' }]);
  });

  test('says by a name where the tunnel comes from', async () => {
    const [wire] = await speak('SOCKS5', 'request', { kind: 'bound-name', name: 'exit.example' });
    const reply = await wire.next(5 + 12 + 2);
    expect(reply.slice(0, 5)).toEqual([5, 0, 0, 3, 12]);
    expect(Buffer.from(reply.slice(5, 17)).toString()).toBe('exit.example');
    expect(reply.slice(17)).not.toEqual([0, 0]);
    await expectRest(wire, 'SOCKS5', 'request');
  });

  test('says that the tunnel comes from IPv6', async () => {
    const [wire] = await speak('SOCKS5', 'request', { kind: 'bound-ipv6' });
    const reply = await wire.next(22);
    expect(reply.slice(0, 20)).toEqual([5, 0, 0, 4, ...Array<number>(15).fill(0), 1]);
    expect(reply.slice(20)).not.toEqual([0, 0]);
    await expectRest(wire, 'SOCKS5', 'request');
  });
});

test.each([
  ['SOCKS4', { kind: 'end', in: 'greeting' }],
  ['SOCKS4', { kind: 'method', method: 0xff }],
  ['SOCKS4', { kind: 'bound-ipv6' }],
  ['SOCKS5', { kind: 'end', in: 'auth' }],
] as const)('%s is left alone by %j, which waits for its client', async (course, misbehaviour) => {
  const [wire, { length }] = await speak(course, 'request', { ...misbehaviour, times: 1 });
  await wire.next(length);
  await expectRest(wire, course, 'request');
  const next = await use(Wire.to(proxy));
  next.write(...greeting(course === 'SOCKS5' ? 2 : 0).says());
  if (course === 'SOCKS5') {
    await next.next(2);
    expect(await next.write(...password.says()).ended).toBe('fin');
  } else if (misbehaviour.kind === 'bound-ipv6') {
    await next.next(2);
    expect((await next.write(...request5.says()).next(4))[3]).toBe(4);
  } else {
    expect(await next.ended).toBe('fin');
  }
});
