// The functions of the package and the methods of a session have one signature each.

import type {
  HttpResponse,
  MapOptions,
  PreparedRequest,
  RequestOptions,
  RequestSource,
  Session,
  SessionOptions,
} from '@cloudlane/session';
import * as api from '@cloudlane/session';
import { expect, test } from '@jest/globals';
import { expectTypeOf } from 'expect-type';

test('the functions are the session’s methods', () => {
  expectTypeOf(api.request).toEqualTypeOf<Session['request']>();
  expectTypeOf(api.get).toEqualTypeOf<Session['get']>();
  expectTypeOf(api.head).toEqualTypeOf<Session['head']>();
  expectTypeOf(api.options).toEqualTypeOf<Session['options']>();
  expectTypeOf(api.post).toEqualTypeOf<Session['post']>();
  expectTypeOf(api.put).toEqualTypeOf<Session['put']>();
  expectTypeOf(api.patch).toEqualTypeOf<Session['patch']>();
  expectTypeOf(api.delete).toEqualTypeOf<Session['delete']>();
  expectTypeOf(api.map).toEqualTypeOf<Session['map']>();
  expectTypeOf(api.imap).toEqualTypeOf<Session['imap']>();
  expect(api.delete).toBeInstanceOf(Function);
});

test('those of prepare take the same, and return a request', () => {
  type Of<F extends (...args: never[]) => unknown> = (...args: Parameters<F>) => PreparedRequest;
  expectTypeOf(api.prepare.request).toEqualTypeOf<Of<Session['request']>>();
  expectTypeOf(api.prepare.get).toEqualTypeOf<Of<Session['get']>>();
  expectTypeOf(api.prepare.head).toEqualTypeOf<Of<Session['head']>>();
  expectTypeOf(api.prepare.options).toEqualTypeOf<Of<Session['options']>>();
  expectTypeOf(api.prepare.post).toEqualTypeOf<Of<Session['post']>>();
  expectTypeOf(api.prepare.put).toEqualTypeOf<Of<Session['put']>>();
  expectTypeOf(api.prepare.patch).toEqualTypeOf<Of<Session['patch']>>();
  expectTypeOf(api.prepare.delete).toEqualTypeOf<Of<Session['delete']>>();
  expectTypeOf<Session['prepare']>().toEqualTypeOf<typeof api.prepare.request>();
  // No method is missing.
  expectTypeOf<keyof typeof api.prepare>().toEqualTypeOf<
    'request' | 'get' | 'head' | 'options' | 'post' | 'put' | 'patch' | 'delete'
  >();
});

test('what map gives depends on each', () => {
  const source: RequestSource = [];
  expectTypeOf(() => api.map(source)).returns.resolves.toEqualTypeOf<(HttpResponse | Error)[]>();
  expectTypeOf(() => api.map(source, { each: () => 1 })).returns.resolves.toEqualTypeOf<(number | Error)[]>();
  const each = async (response: HttpResponse): Promise<string> => await response.text();
  expectTypeOf(() => api.map(source, { each, size: 2 })).returns.resolves.toEqualTypeOf<(string | Error)[]>();
  expectTypeOf<MapOptions['size']>().toEqualTypeOf<number | undefined>();
});

test('options that a session has not, or a call, are no options', () => {
  expectTypeOf<RequestOptions>().not.toHaveProperty('proxy');
  expectTypeOf<RequestOptions>().not.toHaveProperty('maxSockets');
  expectTypeOf<RequestOptions>().not.toHaveProperty('trustEnv');
  expectTypeOf<SessionOptions>().not.toHaveProperty('data');
  expectTypeOf<SessionOptions>().not.toHaveProperty('signal');
});
