import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from 's3rver';

/** An S3-compatible server in this process. It checks no signatures: it shows the way, not the signing. */
export interface EmbeddedS3 extends AsyncDisposable {
  readonly endpoint: string;
}

export async function startEmbeddedS3(tls?: { readonly cert: string; readonly key: string }): Promise<EmbeddedS3> {
  const directory = await mkdtemp(join(tmpdir(), 'cloudlane-s3-'));
  const server = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory, ...tls });
  const { port } = await server.run();
  return {
    endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
