import type { Writable } from 'node:stream';
import { HarRecorder, Session } from '@cloudlane/session';

/** What went over the wire, three ways; no secret is shown. */
export async function trace(
  url: string,
  proxy: string,
  lines: Writable,
  commands: Writable,
  path: string,
): Promise<void> {
  // #region session-trace
  const session = new Session({
    http_proxy: proxy,
    verbose: { to: lines, showRoute: true }, // 2026-11-20T09:00:00.000Z   GET   http://…   forward http://user:***@…
    debug: { format: 'curl', to: commands }, // a command that makes the same request
    har: new HarRecorder({ path }), // for the network tab of a browser
  });
  await (await session.get(url)).text();
  await session.close(); // writes the HAR file
  // #endregion
}
