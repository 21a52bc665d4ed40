import type { HttpResponse } from './http-response.ts';
import type { WireObserver, WireRequest } from './wire-observer.ts';

/** What a HarRecorder keeps. */
export interface HarOptions {
  /** Where `save()` writes to. */
  readonly path?: string | undefined;
  /** Whether bodies are kept, or up to how many bytes of each. @defaultValue false */
  readonly content?: boolean | number | undefined;
  /** Names of headers, cookies and parameters to be kept as they are; `*` for all. */
  readonly showSecrets?: readonly string[] | undefined;
  /** Further requests push the oldest out. @defaultValue 10_000 */
  readonly maxEntries?: number | undefined;
}

/** Records requests and answers, in the form of HTTP Archive 1.2. */
export class HarRecorder implements WireObserver {
  constructor(_options: HarOptions = {}) {}

  answered(_sent: WireRequest, _response: HttpResponse): void {}

  failed(_sent: WireRequest, _error: unknown): void {}

  toJSON(): Record<string, unknown> {
    return {};
  }

  async save(_path?: string): Promise<void> {}
}
