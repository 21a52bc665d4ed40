import type { Readable } from 'node:stream';
import type { ByteRange, ObjectContent, StoredObject } from '@cloudlane/driver';
import { type HttpResponse, StreamConsumedError } from '@cloudlane/session';
import { readAll } from '@cloudlane/transport';
import { objectOf, rangeOf, type S3ObjectPayload } from './s3-object.ts';
import { saveStream } from './save-stream.ts';

/** An object that is being downloaded. Until its body was read, its connection is taken. */
export class S3Content implements ObjectContent<S3ObjectPayload> {
  readonly info: StoredObject<S3ObjectPayload>;
  readonly range: ByteRange | null;
  readonly #http: HttpResponse;
  #taken = false;

  constructor(container: string, key: string, http: HttpResponse) {
    this.info = objectOf(container, key, http);
    this.range = http.status === 206 ? rangeOf(http.headers['content-range']) : null;
    this.#http = http;
  }

  /** @throws StreamConsumedError if the body was taken before */
  stream(): Readable {
    if (this.#taken) throw new StreamConsumedError(this.#http);
    this.#taken = true;
    return this.#http.body;
  }

  async bytes({ maxBytes }: { readonly maxBytes?: number } = {}): Promise<Uint8Array> {
    return await readAll(this.stream(), maxBytes);
  }

  async text({ maxBytes }: { readonly maxBytes?: number } = {}): Promise<string> {
    return (await readAll(this.stream(), maxBytes)).toString();
  }

  async saveTo(path: string, { overwrite = false }: { readonly overwrite?: boolean } = {}): Promise<void> {
    await saveStream(this.stream(), path, overwrite);
  }
}
