// Sends what encodeContent makes to an origin of the lab, and reads it there with the platform's own parser.
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { LabOrigin, OriginRequest } from '@cloudlane/testing';
import type { TransportRequest } from '@cloudlane/transport';
import { expect } from '@jest/globals';
import { encodeContent, type RequestContent } from '../../packages/session/src/request-content.ts';
import { closeAfterTest } from '../support/resources.ts';
import { newTransport, origin } from '../transport/lab.ts';

/** What a caller without types can give, too. */
export function encode(options: { data?: unknown; json?: unknown; files?: unknown }): RequestContent {
  return encodeContent(options as Parameters<typeof encodeContent>[0]);
}

/** The error that these options are refused with. */
export function refusal(options: { data?: unknown; json?: unknown; files?: unknown }): InvalidOptionError {
  try {
    encode(options);
  } catch (error) {
    if (error instanceof InvalidOptionError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

/** A call with this content. */
export function call(
  server: Pick<LabOrigin, 'url'>,
  { body, headers }: Pick<RequestContent, 'body' | 'headers'>,
): TransportRequest {
  return { url: server.url, http_proxy: null, method: 'POST', body, headers };
}

/** Sends it, and gives what has come. */
export async function arrival(content: Pick<RequestContent, 'body' | 'headers'>): Promise<OriginRequest> {
  const server = await origin();
  await text((await newTransport().send(call(server, content))).body);
  const [request] = server.requests;
  if (request === undefined) throw new Error('nothing has come');
  expect(request.complete).toBe(true);
  return request;
}

/** A part of a form as its reader sees it; a field has neither file name nor type. */
export interface Seen {
  readonly name: string;
  readonly filename: string | null;
  readonly type: string | null;
  readonly bytes: string;
}

/** The form in a request; bytes as Latin-1. */
export async function formIn({ headers, body }: Pick<OriginRequest, 'headers' | 'body'>): Promise<Seen[]> {
  const response = new Response(Uint8Array.from(body), {
    headers: { 'Content-Type': String(headers['content-type']) },
  });
  return Promise.all(
    [...(await response.formData())].map(async ([name, value]) => {
      if (typeof value === 'string')
        return { name, filename: null, type: null, bytes: Buffer.from(value).toString('latin1') };
      const bytes = Buffer.from(await value.arrayBuffer()).toString('latin1');
      return { name, filename: value.name, type: value.type, bytes };
    }),
  );
}

/** A directory that goes after the test. */
export async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cloudlane-form-'));
  closeAfterTest({ [Symbol.asyncDispose]: () => rm(path, { recursive: true }) });
  return path;
}

/** The path of a file that goes after the test. */
export async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(await directory(), name);
  await writeFile(path, content);
  return path;
}

/** The names of the files below a directory of ours that this process has open. */
export function openFiles(): string[] {
  // Only Linux tells; elsewhere the tests that ask say no more than that nothing fails.
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc/self/fd')
    .map(targetOf)
    .filter((target) => target.includes('cloudlane-form-'))
    .map((target) => basename(target));
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ''; // The one that the listing itself needed.
  }
}
