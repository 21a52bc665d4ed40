import { AxiosError, AxiosHeaders, type AxiosResponse, CanceledError, type InternalAxiosRequestConfig } from 'axios';
import { CloudlaneError, TimeoutError } from './errors.ts';
import { maskHeaders, maskUrl } from './masking.ts';
import { readUrl } from './origin.ts';
import { printAs, serializeAs } from './printing.ts';

/** What axios calls `request`: here only what may be printed of it. */
export interface SentRequest {
  readonly method: string;
  readonly url: string;
}

/** One call, as its errors tell it. */
export interface AxiosCall {
  readonly config: InternalAxiosRequestConfig;
  readonly sent: SentRequest;
}

/**
 * An error of the transport for who expects axios' own: `cause` is the typed error, `message` and `code` are its. There
 * is no `response`, also where a proxy has answered: that would be taken for the origin's.
 */
export function toAxiosError(error: CloudlaneError, call: AxiosCall): AxiosError {
  const { timeoutErrorMessage } = call.config;
  const message = error instanceof TimeoutError && timeoutErrorMessage ? timeoutErrorMessage : error.message;
  return newAxiosError(message, error.code, call, { cause: error });
}

/** The error for a status that `validateStatus` does not take. */
export function statusError(response: AxiosResponse, call: AxiosCall): AxiosError {
  const isOurs = response.status >= 400 && response.status < 500;
  const code = isOurs ? AxiosError.ERR_BAD_REQUEST : AxiosError.ERR_BAD_RESPONSE;
  return newAxiosError(`Request failed with status code ${response.status}`, code, call, { response });
}

/** The error of a call that was cancelled. */
export function canceledError(message: string | undefined, { config, sent }: AxiosCall): AxiosError {
  return maskPrinting(new CanceledError(message, config, sent), sent);
}

/** An error of axios, its `cause` beside what axios' constructor takes. */
export function newAxiosError(
  message: string,
  code: string,
  { config, sent }: AxiosCall,
  { cause, response }: { readonly cause?: unknown; readonly response?: AxiosResponse } = {},
): AxiosError {
  const error = new AxiosError(message, code, config, sent, response);
  if (cause !== undefined) Object.defineProperty(error, 'cause', { value: cause, writable: true, configurable: true });
  return maskPrinting(error, sent);
}

/** What may be printed of the request that a config stands for. */
export function sentBy({ method, url }: Pick<InternalAxiosRequestConfig, 'method' | 'url'>): SentRequest {
  return { method: method?.toUpperCase() ?? 'GET', url: url ?? '' };
}

/**
 * A config holds every header of its request, and its proxy: with it, an error or an answer must not be printed. Of an
 * error it is also left out where only the enumerable properties are looked at, as loggers do.
 */
export function maskPrinting<T extends AxiosError | AxiosResponse>(value: T, sent: SentRequest): T {
  const summary = (): Record<string, unknown> => ({
    ...(value instanceof Error ? summaryOfError(value) : summaryOfResponse(value)),
    method: sent.method,
    url: maskedOrNull(readUrl(sent.url)),
  });
  if (value instanceof Error) {
    for (const name of ['config', 'request', 'response'] as const) {
      Object.defineProperty(value, name, { value: value[name], enumerable: false, writable: true, configurable: true });
    }
  }
  serializeAs(value, summary);
  printAs(value, () => (value instanceof Error ? `${value.stack} ${JSON.stringify(summary())}` : summary()));
  return value;
}

function summaryOfError({ name, message, code, status, cause }: AxiosError): Record<string, unknown> {
  return {
    ...{ name, message, code },
    ...(status !== undefined && { status }),
    ...(cause instanceof CloudlaneError && { cause }),
  };
}

function summaryOfResponse({ status, headers, data }: AxiosResponse): Record<string, unknown> {
  return { status, headers: maskHeaders(AxiosHeaders.from(headers as Record<string, string>).toJSON()), data };
}

function maskedOrNull(url: URL | null): string | null {
  return url === null ? null : maskUrl(url);
}
