import { Session } from '@cloudlane/session';

/** Many requests, some at a time. */
export async function checkAll(url: string, count: number): Promise<{ statuses: unknown[]; firstTwo: number }> {
  // #region session-many
  const session = new Session();
  function* requests(): Generator<string> {
    for (let id = 1; id <= count; id += 1) yield `${url}/nodes/${id}`; // asked for only when there is room
  }
  const answers = await session.map(requests(), { size: 64 }); // in their order; an Error where there is no answer
  const statuses = await session.map(requests(), { each: (response) => response.status }); // keeps nothing else

  let firstTwo = 0;
  for await (const answer of session.imap(requests(), { size: 8 })) {
    if (!(answer instanceof Error)) firstTwo += 1; // as they come
    if (firstTwo === 2) break; // aborts the rest
  }
  // #endregion
  return { statuses: answers.length === count ? statuses : [], firstTwo };
}
