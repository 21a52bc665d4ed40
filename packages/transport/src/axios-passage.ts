import axios, {
  Axios,
  AxiosHeaders,
  type AxiosInstance,
  type AxiosRequestTransformer,
  type AxiosResponse,
} from 'axios';

/** A request that axios did not make, as interceptors see it. */
export interface PassedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: unknown;
}

/** Whether interceptors are registered on this axios. */
export function hasInterceptors({ interceptors }: AxiosInstance): boolean {
  return [interceptors.request, interceptors.response].some(({ handlers = [] }) => handlers.length > 0);
}

/**
 * Has a request pass the interceptors of an axios of ours on its way to the carrier, and the answer on its way back. Of
 * the defaults of that axios, nothing is added. The answer's `data` is its body as it came; no status is an error.
 */
export function passInterceptors(instance: AxiosInstance, request: PassedRequest): Promise<AxiosResponse> {
  const { adapter, transitional } = instance.defaults;
  const passage = new Axios({ ...(adapter && { adapter }), ...(transitional && { transitional }) });
  passage.interceptors = instance.interceptors;
  return passage.request({
    ...request,
    headers: { ...request.headers },
    responseType: 'stream',
    decompress: false,
    validateStatus: null,
    transformRequest: transformReplaced(request.data),
  });
}

/** Headers as a config of axios has them: without what no header can carry. */
export function writtenByAxios(headers: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  return new AxiosHeaders({ ...headers }).toJSON();
}

/** Leaves the data that axios was given alone, and does with any other what axios does. */
function transformReplaced(given: unknown): AxiosRequestTransformer {
  return function transform(data, headers) {
    const transforms = [axios.defaults.transformRequest ?? []].flat();
    const transformed =
      data === given ? data : transforms.reduce((value, each) => each.call(this, value, headers), data);
    // Runs last before axios would take any body that does not say what it is for a form.
    headers.setContentType(false, false);
    return transformed;
  };
}
