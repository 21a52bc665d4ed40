const MAX_NOTED = 1_000;
const noted = new Set<string>();

/**
 * Says, once for each peer and process, that its certificate is not checked (`verify: false` without a
 * `fingerprint256`): a Node warning with the code `CLOUDLANE_INSECURE`.
 */
export function warnInsecure(hop: 'proxy' | 'origin', peer: string): void {
  const key = `${hop} ${peer}`;
  if (noted.has(key)) return;
  if (noted.size >= MAX_NOTED) noted.clear();
  noted.add(key);
  const option = hop === 'proxy' ? 'proxyTls' : 'tls';
  process.emitWarning(
    `The certificate of the ${hop} ${peer} is not verified, so anybody on the way can read and change what is sent; give ${option}.ca or ${option}.fingerprint256 instead of verify: false`,
    { type: 'InsecureConnectionWarning', code: 'CLOUDLANE_INSECURE' },
  );
}
