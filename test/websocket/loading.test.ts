import { expect, test } from '@jest/globals';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';

const SCRIPT = `
  import { createRequire } from 'node:module';
  import { Connection } from '@cloudlane/connection';
  import { connectWebSocket } from '@cloudlane/websocket';

  const { cache } = createRequire(import.meta.url);
  const isLoaded = () => Object.keys(cache).some((path) => path.includes('/node_modules/ws/'));
  new Connection({ baseUrl: 'http://127.0.0.1:1' });
  const before = isLoaded();
  const code = await connectWebSocket('ws://127.0.0.1:1', { http_proxy: null }).catch((error) => error.code);
  console.log(JSON.stringify([before, code, isLoaded()]));
`;

test(
  'ws is loaded with the first WebSocket, not with the packages',
  async () => {
    const { output, errors, code } = await runScript(SCRIPT);
    expect({ errors, code }).toEqual({ errors: '', code: 0 });
    expect(JSON.parse(output)).toEqual([false, 'ERR_CONNECT', true]);
  },
  PROCESS_TIMEOUT,
);
