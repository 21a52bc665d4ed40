import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type RequestEndEvent, Transport } from '@cloudlane/transport';

/** Sends a request, and tells where its time went: as the answer says, and as whoever listens hears. */
export async function timesOf(url: string, proxy: string): Promise<{ answer: string; heard: string[] }> {
  const transport = new Transport();
  const lines: string[] = [];
  // #region timings
  const response = await transport.send({ url, http_proxy: proxy });
  for await (const _chunk of response.body);
  const { proxyConnect, proxyHandshake, firstByte, total } = response.timings; // milliseconds; null: did not happen
  // #endregion
  // #region diagnostics
  const log = (event: unknown): void => {
    const { method, route, timings, reusedConnection } = event as RequestEndEvent;
    lines.push(`${method} ${route.kind} ${reusedConnection ? 'reused' : 'new'} ${timings.total?.toFixed()} ms`);
  };
  subscribe('cloudlane:request:end', log);
  // #endregion
  const again = await transport.send({ url, http_proxy: proxy });
  for await (const _chunk of again.body);
  unsubscribe('cloudlane:request:end', log);
  await transport.close();
  const parts = { proxyConnect, proxyHandshake, firstByte, total };
  const known = Object.entries(parts).filter(([, milliseconds]) => milliseconds !== null);
  return { answer: known.map(([name]) => name).join(' '), heard: lines };
}
