import { createReadStream } from 'node:fs';
import { Session } from '@cloudlane/session';

/** What can be sent, and how far it has got. */
export async function sendBodies(url: string, archive: string): Promise<number> {
  let sent = 0;
  // #region session-bodies
  const session = new Session({ prefetch: true });
  await session.post(url, { json: { name: 'web-1' } });
  await session.post(url, { data: { user: 'ada', tags: ['a', 'b'] } }); // a form: user=ada&tags=a&tags=b
  await session.post(url, { data: { note: 'x' }, files: { archive: { path: archive } } }); // multipart/form-data
  await session.put(url, {
    data: () => createReadStream(archive), // a function, so that it can be sent again after a redirect or a challenge
    headers: { Expect: '100-continue' }, // not a byte of it before the server wants it
    onUploadProgress: (bytes) => {
      sent = bytes;
    },
  });
  // #endregion
  return sent;
}
