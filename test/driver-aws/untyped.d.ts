// What the tests use of packages that come without types.

declare module 'aws4' {
  interface Aws4Request {
    readonly service: string;
    readonly region: string;
    readonly method: string;
    readonly host: string;
    readonly path: string;
    readonly headers: Record<string, string>;
  }
  interface Aws4Credentials {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  }
  const aws4: {
    sign(request: Aws4Request, credentials: Aws4Credentials): { readonly headers: Readonly<Record<string, string>> };
  };
  export = aws4;
}

declare module 's3rver' {
  import type { RequestListener } from 'node:http';

  class S3rver {
    constructor(options: { readonly directory: string; readonly silent: boolean });
    readonly logger: { readonly exceptions: { unhandle(): void }; close(): void };
    callback(): RequestListener;
  }
  export = S3rver;
}
