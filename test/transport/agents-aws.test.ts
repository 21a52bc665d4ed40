import { describe, expect, test } from '@jest/globals';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { makeS3, s3ClientOf } from './agents-clients.ts';
import { failsWell } from './agents-faults.ts';
import { exercise, expectWay, goesEveryWay, stationOf, store } from './agents-lab.ts';
import { newTransport } from './lab.ts';

describe('the S3 client of AWS', () => {
  goesEveryWay(makeS3);
  failsWell(makeS3, 'itself', { name: 'AbortError' });

  test('also with a NodeHttpHandler; to destroy that hurts nobody', async () => {
    const [server, station] = [await store('https'), await stationOf('http proxy')];
    const agents = newTransport().agents({ http_proxy: station?.urlWithCredentials ?? null });
    const requestHandler = new NodeHttpHandler({ httpAgent: agents.http, httpsAgent: agents.https });
    await exercise(s3ClientOf({ endpoint: server.url, requestHandler }));
    requestHandler.destroy();
    expect(String(await makeS3(agents, server.url).get('/bucket/json'))).toContain('größe');
    expectWay('https', 'http proxy', server, station);
  });
});
