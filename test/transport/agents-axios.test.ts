import { describe, expect, test } from '@jest/globals';
import axios from 'axios';
import { makeAxios } from './agents-clients.ts';
import { failsWell, reasonOf } from './agents-faults.ts';
import { goesEveryWay } from './agents-lab.ts';
import { newTransport, origin, proxy } from './lab.ts';

describe('axios', () => {
  goesEveryWay(makeAxios);
  failsWell(makeAxios, 'cause', { name: 'CanceledError', code: 'ERR_CANCELED' });

  test('that has a proxy of its own too is told so, before anything is sent', async () => {
    const [server, through] = [await origin(), await proxy()];
    const agents = newTransport().agents({ http_proxy: through.url });
    const error = await reasonOf(
      axios.get(server.url, { httpAgent: agents.http, proxy: { host: '127.0.0.1', port: through.port } }),
    );
    expect(error).toMatchObject({ message: expect.stringContaining("switch off the client's own proxy setting") });
    expect(through.connectionCount).toBe(0);
  });
});
