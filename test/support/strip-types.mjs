// jest transform: removes the types and leaves every line and column where it was. Node 22 and later do
// that themselves; amaro is the same code for Node 20.
import { createHash } from 'node:crypto';
import module from 'node:module';

const strip =
  module.stripTypeScriptTypes ??
  (await import('amaro').then(
    ({ default: amaro }) =>
      (source) =>
        amaro.transformSync(source, { mode: 'strip-only' }).code,
  ));

export default {
  process: (source) => ({ code: strip(source) }),
  // Without the instrumentation and the configuration in the key, a warm cache gives false coverage.
  getCacheKey: (source, path, { instrument, configString }) =>
    createHash('sha256')
      .update([process.version, source, path, String(instrument), configString].join('\0'))
      .digest('hex'),
};
