import { AuthBase, HTTPBearerAuth, HTTPDigestAuth, type PreparedRequest, Session } from '@cloudlane/session';

/** Auth for origins: ready-made, and of one's own. */
export async function authorize(url: string, password: string, renewToken: () => Promise<string>): Promise<number[]> {
  // #region session-auth
  class PizzaAuth extends AuthBase {
    apply(request: PreparedRequest): void {
      request.setHeader('X-Pizza', request.url.pathname);
    }
  }
  const session = new Session({ auth: new PizzaAuth(), prefetch: true });
  const answers = [
    await session.get(url),
    await session.get(url, { auth: ['ada', password] }), // Basic
    await session.get(url, { auth: new HTTPDigestAuth('ada', password) }),
    await session.get(url, { auth: new HTTPBearerAuth({ refresh: renewToken }) }), // anew after a 401, once
    await session.get(url, { auth: null }),
  ];
  // #endregion
  return answers.map(({ status }) => status);
}
