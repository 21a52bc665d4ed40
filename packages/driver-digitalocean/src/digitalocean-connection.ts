import {
  type ConnectionOptions,
  KeyConnection,
  type MutableHeaders,
  type ProviderErrorDetails,
} from '@cloudlane/connection';
import type { HttpResponse } from '@cloudlane/session';
import { headerText, readRateLimit } from './rate-limit.ts';

/** Options of everything in this package. */
export interface DigitalOceanOptions extends ConnectionOptions {
  /** A personal access token, or one of OAuth. */
  readonly token: string;
}

/**
 * A connection to DigitalOcean's API, which compute and DNS may share. `request()` reaches every endpoint that they do
 * not cover.
 */
export class DigitalOceanConnection extends KeyConnection {
  /** @throws InvalidOptionError if the token is empty or cannot be a header */
  constructor({ token, ...options }: DigitalOceanOptions) {
    super(token, options, 'https://api.digitalocean.com/v2', 'token');
  }

  override get provider(): string {
    return 'digitalocean';
  }

  protected override addDefaultHeaders(headers: MutableHeaders): void {
    headers.Authorization = `Bearer ${this.key}`;
  }

  protected override async parseError(response: HttpResponse): Promise<ProviderErrorDetails> {
    const text = await response.text();
    const { id, message, request_id } = asErrorBody(text);
    return {
      message: message ?? (text.trim().slice(0, 200) || response.statusText),
      providerCode: id ?? null,
      requestId: request_id ?? headerText(response.headers, 'x-request-id'),
      retryAfter: response.status === 429 ? untilReset(response) : null,
    };
  }
}

/** The options, or a connection that is there already. */
export function connectionOf(options: DigitalOceanOptions | DigitalOceanConnection): DigitalOceanConnection {
  return options instanceof DigitalOceanConnection ? options : new DigitalOceanConnection(options);
}

type ErrorBody = { readonly [K in 'id' | 'message' | 'request_id']?: string };

function asErrorBody(text: string): ErrorBody {
  const body = parseObject(text);
  const strings = Object.entries(body).filter(([, value]) => typeof value === 'string' && value !== '');
  return Object.fromEntries(strings);
}

// Not everything that answers is the API: what stands between may send a page of its own.
function parseObject(text: string): object {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

// Only the limit on bursts comes with Retry-After; of the hourly one, the reset tells when to go on.
function untilReset(response: HttpResponse): number | null {
  const limit = readRateLimit(response.headers);
  return limit === null || limit.remaining > 0 ? null : Math.max(0, limit.resetsAt.getTime() - Date.now());
}
