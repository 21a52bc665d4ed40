// What a server can do with `Content-Encoding` to who reads its answers.
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { answering, overRoutes } from './lab.ts';

overRoutes((route) => {
  test.each(['content', 'pieces'])('an answer in more codings than are undone fails typed: %s', async (how) => {
    const codings = Array(1000).fill('gzip').join(',');
    const target = await route.origin(answering(gzipSync('x'), { headers: { 'Content-Encoding': codings } }));
    const response = await (await route.session()).get(target.url);
    const read = how === 'content' ? response.content() : response.iterContent()[Symbol.asyncIterator]().next();
    await expect(read).rejects.toMatchObject({
      code: 'ERR_PROTOCOL',
      phase: 'body',
      cause: { code: 'ERR_TOO_MANY_CODINGS', message: expect.stringContaining('in 1000 content codings') },
    });
  });
});
