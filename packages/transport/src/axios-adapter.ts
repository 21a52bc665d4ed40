import axios, { Axios, type AxiosInstance, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';
import { readAnswer } from './axios-answer.ts';
import { followCancellation } from './axios-cancellation.ts';
import type { Carrier } from './axios-carrier.ts';
import { canceledError, statusError, toAxiosError } from './axios-error.ts';
import { guardInstance } from './axios-guard.ts';
import { progressTo } from './axios-progress.ts';
import { toRequest } from './axios-request.ts';
import { CloudlaneError } from './errors.ts';

/**
 * A real axios whose every request, also of instances that its `create()` makes, is sent by this carrier. It takes our
 * options (`http_proxy`, `tls` …) in a call's config, and refuses those that would choose another way.
 */
export function createAxios(carrier: Carrier): AxiosInstance {
  const adapter = (config: InternalAxiosRequestConfig): Promise<AxiosResponse> => adapt(carrier, config);
  const { followsRedirects = false, hasDefaultHeaders = false } = carrier;
  const defaults = { adapter, proxy: false, ...(!followsRedirects && { maxRedirects: 0 }) } as const;
  const instance = axios.create(defaults);
  if (hasDefaultHeaders) delete instance.defaults.headers.common.Accept;
  return guardInstance(instance, { adapter, followsRedirects, begin: (config) => carrier.begin?.(config) });
}

// axios.getUri() would add what other code has written into the defaults that all of axios shares.
const bare = new Axios({});

async function adapt(carrier: Carrier, config: InternalAxiosRequestConfig): Promise<AxiosResponse> {
  const url = bare.getUri(config);
  const call = { config, sent: { method: config.method?.toUpperCase() ?? 'GET', url } };
  const cancellation = followCancellation(config);
  const upload = config.onUploadProgress ? progressTo(config.onUploadProgress, 'upload') : null;
  try {
    const request = toRequest(call, cancellation.signal, upload, carrier.hasDefaultHeaders ?? false);
    const answer = await carrier.send(request, config).finally(() => upload?.flush());
    const response = await readAnswer(answer, call, cancellation.release);
    const { validateStatus } = config;
    if (!validateStatus || validateStatus(answer.status)) return response;
    throw statusError(response, call);
  } catch (error) {
    cancellation.release();
    if (cancellation.signal?.aborted) throw canceledError(config.cancelToken?.reason?.message, call);
    throw error instanceof CloudlaneError ? toAxiosError(error, call) : error;
  }
}
