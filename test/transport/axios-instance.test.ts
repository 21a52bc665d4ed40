// What an instance of axios has beside its calls: interceptors, defaults, further instances. And what ours refuses.
import { InvalidOptionError } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import axios, { type AxiosInstance, type AxiosRequestConfig, type InternalAxiosRequestConfig } from 'axios';
import { failureOf, newTransport, origin, proxy } from './lab.ts';

describe('interceptors', () => {
  test('of requests run last added first, those that are asynchronous too, until they are ejected', async () => {
    const server = await origin();
    const { axios } = newTransport();
    const adding = (name: string) => (config: InternalAxiosRequestConfig) => {
      config.headers.set('X-Way', `${config.headers.get('X-Way') ?? ''}${name}`);
      return config;
    };
    axios.interceptors.request.use(adding('a'), null, { synchronous: true });
    const ejected = axios.interceptors.request.use(async (config) => adding('b')(config));
    axios.interceptors.request.use(adding('c'), null, { runWhen: ({ method }) => method === 'get' });
    await axios.get(server.url, { http_proxy: null });
    await axios.delete(server.url, { http_proxy: null });
    axios.interceptors.request.eject(ejected);
    await axios.get(server.url, { http_proxy: null });
    axios.interceptors.request.clear();
    await axios.get(server.url, { http_proxy: null });
    expect(server.requests.map(({ headers }) => headers['x-way'])).toEqual(['cba', 'ba', 'ca', undefined]);
  });

  test('of requests may choose the proxy', async () => {
    const [server, through] = [await origin(), await proxy()];
    const { axios } = newTransport();
    axios.interceptors.request.use(async (config) => ({ ...config, http_proxy: through.url }));
    await axios.get(server.url);
    expect(through.hops).toHaveLength(1);
  });

  test('of responses run first added first, for errors too, until they are ejected', async () => {
    const server = await origin('http', {
      handler: ({ url }, response) => void response.writeHead(url === '/' ? 200 : 500).end('"said"'),
    });
    const { axios } = newTransport();
    const first = axios.interceptors.response.use(
      (response) => ({ ...response, data: [response.data, 'first'] }),
      async (error) => ({ ...error.response, data: `mended ${error.message}` }),
    );
    axios.interceptors.response.use(async (response) => ({ ...response, data: [response.data, 'second'] }));
    expect((await axios.get(server.url, { http_proxy: null })).data).toEqual([['said', 'first'], 'second']);
    expect((await axios.get(`${server.url}/x`, { http_proxy: null })).data).toEqual([
      'mended Request failed with status code 500',
      'second',
    ]);
    axios.interceptors.response.eject(first);
    expect((await axios.get(server.url, { http_proxy: null })).data).toEqual(['said', 'second']);
    await expect(axios.get(`${server.url}/x`, { http_proxy: null })).rejects.toMatchObject({ status: 500 });
  });
});

describe('defaults', () => {
  test('hold for each call of their instance, and for no other', async () => {
    const [server, through] = [await origin(), await proxy()];
    const [one, other] = [newTransport().axios, newTransport().axios];
    one.defaults.baseURL = server.url;
    one.defaults.http_proxy = through.url;
    one.defaults.headers.common['X-Common'] = 'yes';
    one.defaults.headers.post['X-Post'] = 'yes';
    await one.get('/get');
    await one.post('/post');
    await other.get(`${server.url}/other`, { http_proxy: null });
    expect(server.requests.map(({ target, headers }) => [target, headers['x-common'], headers['x-post']])).toEqual([
      ['/get', 'yes', undefined],
      ['/post', 'yes', 'yes'],
      ['/other', undefined, undefined],
    ]);
    expect(through.hops).toHaveLength(2);
  });

  test('of all axios, if they change later, do not change where a call goes', async () => {
    const server = await origin();
    const { axios: client } = newTransport();
    Object.assign(axios.defaults, { baseURL: 'http://elsewhere.example', params: { theirs: 1 } });
    try {
      await client.get(`${server.url}/mine`, { http_proxy: null, allowAbsoluteUrls: false, baseURL: '' });
    } finally {
      delete axios.defaults.baseURL;
      delete axios.defaults.params;
    }
    expect(server.requests.map(({ target }) => target)).toEqual(['/mine']);
  });
});

test('every way to call sends its method', async () => {
  const server = await origin();
  const { axios } = newTransport();
  Object.assign(axios.defaults, { http_proxy: null });
  await axios(server.url);
  await axios({ url: server.url, method: 'PURGE' });
  await axios.request({ url: server.url, method: 'LINK' });
  for (const method of ['get', 'delete', 'head', 'options', 'post', 'put', 'patch', 'query'] as const) {
    await axios[method](server.url);
  }
  for (const method of ['postForm', 'putForm', 'patchForm'] as const) await axios[method](server.url, { a: 'b' });
  expect(server.requests.map(({ method }) => method).join(' ')).toBe(
    'GET PURGE LINK GET DELETE HEAD OPTIONS POST PUT PATCH QUERY POST PUT PATCH',
  );
  expect(axios.getUri({ url: '/a', baseURL: 'http://x.example', params: { b: 1 } })).toBe('http://x.example/a?b=1');
});

describe('an instance made of ours', () => {
  test('takes the route, with defaults and interceptors of its own', async () => {
    const [server, through] = [await origin(), await proxy()];
    const { axios } = newTransport();
    axios.interceptors.request.use(() => Promise.reject(new Error('not for the derived')));
    const derived = axios
      .create({ baseURL: server.url, http_proxy: through.url })
      .create({ headers: { 'X-Own': 'yes' } });
    expect((await derived.get('/derived')).data.headers).toMatchObject({ 'x-own': 'yes' });
    expect(through.hops.map(({ target }) => target)).toEqual([`${server.url}/derived`]);
    await expect(axios.get(server.url)).rejects.toThrow('not for the derived');
  });

  test('cannot be made to leave it', async () => {
    const { axios } = newTransport();
    expect(() => axios.create({ adapter: 'fetch' })).toThrow(InvalidOptionError);
    expect(() => axios.create().create({ httpsAgent: {} })).toThrow(InvalidOptionError);
  });
});

const OTHER_WAYS: readonly [option: string, config: object][] = [
  ['proxy', { proxy: { host: '127.0.0.1', port: 1 } }],
  ['proxy', { proxy: 'http://127.0.0.1:1' }],
  ['adapter', { adapter: 'fetch' }],
  ['adapter', { adapter: ['http'] }],
  ['adapter', { adapter: () => Promise.resolve({ data: 'from elsewhere' }) }],
  ['maxRedirects', { maxRedirects: 5 }],
  ['httpVersion', { httpVersion: 2 }],
  ['http2Options', { http2Options: { sessionTimeout: 1 } }],
  ['httpAgent', { httpAgent: {} }],
  ['httpsAgent', { httpsAgent: {} }],
  ['socketPath', { socketPath: '/var/run/docker.sock' }],
  ['transport', { transport: {} }],
  ['beforeRedirect', { beforeRedirect: () => {} }],
  ['lookup', { lookup: () => {} }],
  ['family', { family: 6 }],
  ['insecureHTTPParser', { insecureHTTPParser: true }],
  ['fetchOptions', { fetchOptions: { dispatcher: {} } }],
  ['env.fetch', { env: { fetch } }],
  ['maxRate', { maxRate: 5 }],
  ['responseType', { responseType: 'formdata' }],
];

const PLACES: readonly [place: string, put: (axios: AxiosInstance, config: AxiosRequestConfig) => AxiosInstance][] = [
  ['the defaults', (axios, config) => Object.assign(axios, { defaults: Object.assign(axios.defaults, config) })],
  [
    'the defaults of a derived instance',
    (axios, config) => {
      const derived = axios.create();
      Object.assign(derived.defaults, config);
      return derived;
    },
  ],
  [
    'an interceptor',
    (axios, config) => {
      axios.interceptors.request.use((given) => ({ ...given, ...config }) as InternalAxiosRequestConfig);
      return axios;
    },
  ],
  [
    'an interceptor, in the order in which they were added',
    (axios, config) => {
      axios.defaults.transitional = { legacyInterceptorReqResOrdering: false };
      axios.interceptors.request.use((given) => Object.assign(given, config), null, { synchronous: true });
      return axios;
    },
  ],
];

describe.each(OTHER_WAYS)('%s of axios is refused, as it would take another way: %j', (option, config) => {
  test('in a call', async () => {
    const server = await origin();
    const { axios } = newTransport();
    // What was there to see to it cannot be taken away.
    axios.interceptors.request.clear();
    const sent = axios.get(server.url, { http_proxy: null, ...config });
    expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option });
    expect(server.connectionCount).toBe(0);
  });

  test.each(PLACES)('in %s', async (_, put) => {
    const server = await origin();
    const sent = put(newTransport().axios, config).get(server.url, { http_proxy: null });
    expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option });
    expect(server.connectionCount).toBe(0);
  });
});

test('a config that an interceptor has made anew, without our adapter, is refused', async () => {
  const server = await origin();
  const { axios } = newTransport();
  axios.interceptors.request.use(({ url, method, headers }) => ({ url: url ?? '', method: method ?? '', headers }));
  expect(await failureOf(axios.get(server.url), InvalidOptionError)).toMatchObject({ option: 'adapter' });
  expect(server.connectionCount).toBe(0);
});
