import { Session } from '@cloudlane/session';

/** Callbacks on the way of each call. */
export async function callWithHooks(url: string, log: (line: string) => void): Promise<string> {
  // #region session-hooks
  const session = new Session({
    hooks: {
      args: (args) => void log(`asked for ${args.url}`),
      preRequest: (request) => request.setHeader('X-Testing', 'True'),
      response: [(response) => void log(`answered ${response.status}`), (response) => response.raiseForStatus()],
    },
    hookErrors: 'throw', // otherwise an error in a hook is a warning, and the request goes on
  });
  const response = await session.get(url, { headers: { Yo: 'yes' } });
  // #endregion
  return response.text();
}
