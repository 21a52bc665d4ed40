import { randomUUID } from 'node:crypto';
import { httpResponseOf, type Session } from '@cloudlane/session';

/** The session's defaults, cookies, redirects and routes, for code that expects an axios. */
export async function findServers(session: Session, api: string, proxy: string): Promise<unknown> {
  // #region session-axios
  const { axios } = session;
  const response = await axios.get('/servers', { baseURL: api, params: { tag: 'web' }, http_proxy: proxy });
  response.request.res.responseUrl; // where it came from, after redirects
  httpResponseOf(response)?.history; // the redirects, and the route, timings … of the answer
  // #endregion
  return response.data;
}

/** Every call of the session passes the interceptors: `session.get()`, `prepare()`, `map()` and `session.axios` itself. */
export function traceCalls(session: Session, log: (line: string) => void): void {
  // #region session-interceptors
  session.axios.interceptors.request.use((config) => {
    config.headers.set('X-Request-Id', randomUUID());
    return config;
  });
  session.axios.interceptors.response.use((response) => {
    log(`${response.config.headers.get('X-Request-Id')} was answered with ${response.status}`);
    return response;
  });
  // #endregion
}
