// Parts of the package that are tested for themselves. Imported by address: the compiler takes a relative path into
// another project for one that it has to rewrite.
import type * as ConnectReplyModule from '../../packages/transport/src/connect-reply.ts';
import type * as ProxyAnswerModule from '../../packages/transport/src/proxy-answer.ts';

export type ConnectReply = ConnectReplyModule.ConnectReply;

const SOURCES = '../../packages/transport/src';

export const { ConnectReplyError, ConnectReplyParser, MAX_REPLY_HEAD }: typeof ConnectReplyModule = await import(
  `${SOURCES}/connect-reply.ts`
);
export const { readChallenges }: typeof ProxyAnswerModule = await import(`${SOURCES}/proxy-answer.ts`);
