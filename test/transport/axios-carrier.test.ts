import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { InvalidOptionError } from '@cloudlane/proxy';
import {
  type AxiosResponse,
  answerOf,
  type CarriedAnswer,
  type Carrier,
  createAxios,
  type InternalAxiosRequestConfig,
  type TransportRequest,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import axiosOfOthers, { AxiosError } from 'axios';
import { failureOf, newTransport, origin, proxy } from './lab.ts';

/** Notes what it is asked to send, and answers by itself. */
class Notebook implements Carrier {
  readonly followsRedirects: boolean;
  readonly asked: { readonly request: TransportRequest; readonly config: InternalAxiosRequestConfig }[] = [];
  readonly given: CarriedAnswer[] = [];
  answer: Partial<CarriedAnswer> = {};

  constructor(followsRedirects = false) {
    this.followsRedirects = followsRedirects;
  }

  async send(request: TransportRequest, config: InternalAxiosRequestConfig): Promise<CarriedAnswer> {
    this.asked.push({ request, config });
    const answer = {
      status: 200,
      statusText: 'OK',
      headers: {},
      body: Readable.from([Buffer.from('ok')]),
      ...this.answer,
    };
    this.given.push(answer);
    return answer;
  }
}

const URL_ASKED = 'http://origin.example/a';

describe('an axios over a carrier', () => {
  test('has it send every call, of derived instances too, with the config of the call', async () => {
    const carrier = new Notebook();
    const axios = createAxios(carrier);
    expect((await axios.post(URL_ASKED, { a: 1 }, { params: { b: 2 }, http_proxy: null })).data).toBe('ok');
    const own = { auth: { username: 'user', password: '' }, own: 'thing' };
    await axios.create({ baseURL: 'http://other.example' }).get('/b', own);
    expect(carrier.asked).toMatchObject([
      {
        request: { method: 'POST', url: `${URL_ASKED}?b=2`, body: '{"a":1}', http_proxy: null },
        config: { url: URL_ASKED },
      },
      { request: { url: 'http://other.example/b', headers: { Authorization: 'Basic dXNlcjo=' } }, config: own },
    ]);
  });

  test('keeps it to its way, and to no redirects', async () => {
    const carrier = new Notebook();
    const axios = createAxios(carrier);
    for (const config of [{ httpsAgent: {} }, { adapter: 'http' }, { maxRedirects: 5 }, { beforeRedirect: () => {} }])
      expect(await failureOf(axios.get(URL_ASKED, config), InvalidOptionError)).toMatchObject({
        option: Object.keys(config)[0],
      });
    expect(axios.defaults.maxRedirects).toBe(0);
    expect(carrier.asked).toEqual([]);
  });

  test('takes an answer as it is, and leaves it so', async () => {
    const carrier = new Notebook();
    const headers = { 'content-encoding': 'gzip', 'content-type': 'text/plain' };
    carrier.answer = { status: 404, statusText: 'No', headers, body: Readable.from([gzipSync('gone')]) };
    const { response } = await failureOf(createAxios(carrier).get(URL_ASKED), AxiosError);
    expect(response).toMatchObject({ status: 404, statusText: 'No', data: 'gone' });
    expect({ ...response?.headers }).toEqual({ 'content-type': 'text/plain' });
    expect(carrier.given[0]?.headers).toEqual({ 'content-encoding': 'gzip', 'content-type': 'text/plain' });
  });
});

describe('a carrier that follows redirects', () => {
  test.each([{}, { maxRedirects: 0 }, { maxRedirects: 7 }])('is told how many a call wants: %j', async (config) => {
    const carrier = new Notebook(true);
    const axios = createAxios(carrier);
    await axios.create().get(URL_ASKED, config);
    expect(carrier.asked.map((each) => each.config.maxRedirects)).toEqual([config.maxRedirects]);
  });

  test.each([-1, 1.5, Number.NaN, '5', null])('is not told of %j', async (maxRedirects) => {
    const carrier = new Notebook(true);
    const sent = createAxios(carrier).get(URL_ASKED, { maxRedirects } as object);
    expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option: 'maxRedirects' });
    expect(carrier.asked).toEqual([]);
  });

  test.each([{ httpsAgent: {} }, { adapter: 'http' }, { proxy: { host: 'proxy.example', port: 1 } }])(
    'is kept to its way all the same: %j',
    async (config) => {
      const carrier = new Notebook(true);
      const sent = createAxios(carrier).get(URL_ASKED, config);
      expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option: Object.keys(config)[0] });
      expect(carrier.asked).toEqual([]);
    },
  );
});

describe('the answer behind an axios response', () => {
  test('is found, also after interceptors have copied the response', async () => {
    const carrier = new Notebook();
    const axios = createAxios(carrier);
    const direct = await axios.get(URL_ASKED);
    axios.interceptors.response.use((response) => ({ ...response, data: 'another' }));
    const copied = await axios.get(URL_ASKED);
    expect(copied.data).toBe('another');
    expect(answerOf(direct)).toBe(carrier.given[0]);
    expect(answerOf(copied)).toBe(carrier.given[1]);
  });

  test('is found of a status that axios takes for an error', async () => {
    const carrier = new Notebook();
    carrier.answer = { status: 500 };
    const { response } = await failureOf(createAxios(carrier).get(URL_ASKED), AxiosError);
    expect(response && answerOf(response)).toBe(carrier.given[0]);
  });

  test('is none of a response that somebody else made', async () => {
    const server = await origin();
    const others: AxiosResponse[] = [
      await axiosOfOthers.get(server.url, { proxy: false }),
      { ...(await createAxios(new Notebook()).get(URL_ASKED)), request: undefined },
    ];
    expect(others.map(answerOf)).toEqual([undefined, undefined]);
  });

  test('is that of the transport, through its own axios', async () => {
    const [server, through] = [await origin(), await proxy()];
    const { axios } = newTransport();
    const response = await axios.get(server.url, { http_proxy: through.url, responseType: 'stream' });
    expect(answerOf(response)).toMatchObject({ status: 200, route: { kind: 'forward' }, body: response.data });
    expect(await text(response.data)).toContain('"method":"GET"');
  });
});
