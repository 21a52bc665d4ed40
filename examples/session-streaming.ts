import { Session } from '@cloudlane/session';

/** Answers that are read as they come. */
export async function follow(url: string, last: string): Promise<string[]> {
  const seen: string[] = [];
  // #region session-streaming
  const session = new Session();
  const response = await session.get(url); // here with the headers; no byte of the body was asked for
  for await (const line of response.iterLines({ skipEmpty: true })) {
    seen.push(line);
    if (line === last) break; // and the connection is given up
  }
  // #endregion
  return seen;
}
