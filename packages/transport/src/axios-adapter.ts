import axios, { Axios, type AxiosInstance, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';
import { readData, toAxiosResponse } from './axios-answer.ts';
import { followCancellation } from './axios-cancellation.ts';
import { canceledError, statusError, toAxiosError } from './axios-error.ts';
import { guardInstance } from './axios-guard.ts';
import { progressTo } from './axios-progress.ts';
import { toRequest } from './axios-request.ts';
import { CloudlaneError } from './errors.ts';
import type { Transport } from './transport.ts';

/** A real axios over a transport. */
export function createAxios(transport: Transport): AxiosInstance {
  const adapter = (config: InternalAxiosRequestConfig): Promise<AxiosResponse> => adapt(transport, config);
  return guardInstance(axios.create({ adapter, proxy: false, maxRedirects: 0 }), adapter);
}

// axios.getUri() would add what other code has written into the defaults that all of axios shares.
const bare = new Axios({});

async function adapt(transport: Transport, config: InternalAxiosRequestConfig): Promise<AxiosResponse> {
  const url = bare.getUri(config);
  const call = { config, sent: { method: config.method?.toUpperCase() ?? 'GET', url } };
  const cancellation = followCancellation(config);
  const upload = config.onUploadProgress ? progressTo(config.onUploadProgress, 'upload') : null;
  try {
    const response = await transport.send(toRequest(call, cancellation.signal, upload)).finally(() => upload?.flush());
    const data = await readData(response, call, cancellation.release);
    const answer = toAxiosResponse(response, data, call);
    const { validateStatus } = config;
    if (!validateStatus || validateStatus(response.status)) return answer;
    throw statusError(answer, call);
  } catch (error) {
    cancellation.release();
    if (cancellation.signal?.aborted) throw canceledError(config.cancelToken?.reason?.message, call);
    throw error instanceof CloudlaneError ? toAxiosError(error, call) : error;
  }
}
